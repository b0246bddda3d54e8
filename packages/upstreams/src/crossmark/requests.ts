/**
 * Crossmark's requests, field for field as recorded (upstreams.md A1 to A2.6). Pure: input in, request out.
 *
 * Always true: paths are put behind the base URL, which may have a path of its own; ids go out as they came in;
 * no field is sent that the browser did not send.
 */
import type { HttpRequest } from '../http/http.ts';
import type { CrossmarkInput } from './definition.ts';
import { toOffsetTime, toSlashedTime } from './times.ts';

/** Where and in which zone: the part of the settings that requests depend on. */
export type Place = { readonly baseUrl: string; readonly timezone: string };

/** A request before cookies and signal are added. */
export type Draft = Omit<HttpRequest, 'signal' | 'cookies'>;

/** What a planning read asks for: dates `YYYY-MM-DD`, and which part of the list. */
export type PlanningQuery = {
  readonly startDate: string;
  readonly endDate: string;
  readonly mPlanId?: string | undefined;
  readonly page: number;
  readonly limit: number;
};

const conditions = [
  'Unstaffed',
  'Scheduled',
  'Staffed',
  'Canceled',
  'In Progress',
  'Paused',
  'Reissued',
  'Expired',
  'Submitted',
];

/** POST /login/authenticate. */
export function signInRequest(place: Place, credentials: { username: string; password: string }): Draft {
  return {
    ...post(place, '/login/authenticate', '/login'),
    json: {
      UserType: 'MVEntityUser',
      UserID: credentials.username,
      Password: credentials.password,
      Timezone: place.timezone,
    },
  };
}

/** POST scheduleMplanEvent: nine fields, exactly. */
export function scheduleRequest(place: Place, input: CrossmarkInput<'schedule-event'>): Draft {
  return {
    ...post(place, '/planningextcontroller/scheduleMplanEvent', '/planning/'),
    form: {
      ClassName: 'MVScheduledmPlan',
      RepID: input.repId,
      mPlanID: input.mPlanId,
      LocationID: input.locationId,
      Start: toOffsetTime(input.start, place.timezone),
      End: toOffsetTime(input.end, place.timezone),
      hash: '',
      v: '3.0.1',
      PlanningOverride: 'true',
    },
  };
}

/** POST deleteScheduledMplanEvent. */
export function unscheduleRequest(place: Place, input: CrossmarkInput<'unschedule-event'>): Draft {
  return {
    ...post(place, '/planningextcontroller/deleteScheduledMplanEvent', '/planning/'),
    form: { id: input.scheduleEventId },
  };
}

/** POST createPendingWork/, with the slash. */
export function reissueRequest(place: Place, input: CrossmarkInput<'reissue-event'>): Draft {
  return {
    ...post(place, '/pendingworkextcontroller/createPendingWork/', '/planning/'),
    form: {
      workLogEntryID: input.scheduleEventId ?? '',
      storeID: input.locationId,
      mPlanID: input.mPlanId,
      reissueBulkJson: '[]',
      action: 'reissue',
      includeResponses: String(input.includeResponses ?? false),
      pendingWorkReasonComments: input.comments ?? '',
      public: 'true',
      excludeReps: 'false',
      excludedRepIDs: '[]',
      overrideReps: 'true',
      overriddenRepIDs: `[${input.repId}]`,
      expirationDate: `${input.expirationDate}T00:00:00`,
      additionalEmail: '',
    },
  };
}

/** GET getPlanningMplans. Asks for every condition; the `mPlanID` term is unproven, so filter the answer too. */
export function planningRequest(place: Place, query: PlanningQuery): Draft {
  const searchTerms = {
    condition: term('condition', 'Condition', conditions),
    ...(query.mPlanId !== undefined && { mPlanID: term('mPlanID', 'mPlan ID', [query.mPlanId]) }),
  };
  return {
    ...get(place, '/planningextcontroller/getPlanningMplans'),
    query: {
      _dc: String(Date.now()),
      intervalStart: query.startDate,
      intervalEnd: query.endDate,
      showAllActive: 'false',
      searchFields: JSON.stringify({ searchTerms }),
      searchFilter: '',
      page: String(query.page),
      start: String((query.page - 1) * query.limit),
      limit: String(query.limit),
      sort: JSON.stringify([{ property: 'startDate', direction: 'ASC' }]),
    },
  };
}

/** POST getAvailableReps, multipart with one part. */
export function availableRepsRequest(place: Place, input: CrossmarkInput<'list-available-reps'>): Draft {
  const { start, end } = input;
  return {
    ...post(place, '/schedulingcontroller/getAvailableReps', '/scheduling/hourly/'),
    multipart: { project: `${toSlashedTime(start, place.timezone)},${toSlashedTime(end, place.timezone)}` },
  };
}

/** GET getQualifiedRepsForScheduling. The origin's limit of 100 reps; the browser asks for 25. */
export function qualifiedRepsRequest(place: Place, input: CrossmarkInput<'list-qualified-reps'>): Draft {
  return {
    ...get(place, '/planningextcontroller/getQualifiedRepsForScheduling'),
    query: {
      _dc: String(Date.now()),
      mPlanID: input.mPlanId,
      storeID: input.locationId,
      page: '1',
      start: '0',
      limit: '100',
      sort: JSON.stringify([{ property: 'LastName', direction: 'ASC' }]),
    },
  };
}

function term(name: string, title: string, values: readonly string[]) {
  const items = values.map((value, index) => ({
    id: index + 1,
    value: [value],
    displayValue: [value],
    exactmatch: true,
    allActive: false,
  }));
  return { name, title, items };
}

function get({ baseUrl }: Place, path: string): Draft {
  return { method: 'GET', url: `${baseUrl}${path}`, headers: commonHeaders };
}

function post({ baseUrl }: Place, path: string, refererPath: string): Draft {
  const headers = { ...commonHeaders, origin: new URL(baseUrl).origin, referer: `${baseUrl}${refererPath}` };
  return { method: 'POST', url: `${baseUrl}${path}`, headers };
}

const commonHeaders = { 'x-requested-with': 'XMLHttpRequest', accept: '*/*' };
