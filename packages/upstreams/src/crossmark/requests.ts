/**
 * Crossmark's requests, with exactly the fields that were recorded. Pure. See docs/upstreams/crossmark.md, "Sign-in"
 * and "Operations".
 */
import type { HttpRequest } from '../http/http.ts';
import type { CrossmarkInput } from './definition.ts';
import { toOffsetTime, toSlashedTime } from './times.ts';

/** The part of the settings that requests depend on. */
export type Place = { readonly baseUrl: string; readonly timezone: string };

/** A request without cookies and signal. */
export type Draft = Omit<HttpRequest, 'signal' | 'cookies'>;

/** The parameters of a planning read. Dates are `YYYY-MM-DD`. */
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

/** POST scheduleMplanEvent. */
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

/** POST createPendingWork/. The trailing slash is required. */
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

/** GET getPlanningMplans, for every condition. The `mPlanID` term is unproven, so filter the answer too. */
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

/** GET getQualifiedRepsForScheduling, with the origin's limit of 100 reps. */
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
