/**
 * A simulated Crossmark, from docs/upstreams/crossmark.md. Our own assumptions: the sign-in lock lasts until a reset or
 * a new password, and sessions end `sessionTtlMs` after their last use.
 */
import { z } from 'zod';
import {
  type CommonSettings,
  commonSettingsShape,
  Settings,
  type SimulatedReply,
  type SimulatedRequest,
  type SimulatedRoute,
  type Simulation,
  type SimulationOptions,
} from '../simulation/simulation.ts';
import { Plan } from './simulate/plan.ts';
import { availableReps, locationCondition, planningList, qualifiedReps } from './simulate/reads.ts';
import { crossmarkContentType, jsonReply, loginPage, notOk, pageReply } from './simulate/replies.ts';
import { CrossmarkSessions, sessionId, simulatedUser } from './simulate/sessions.ts';
import { reissueEvent, scheduleEvent, unscheduleEvent } from './simulate/writes.ts';

type CrossmarkSettings = CommonSettings & {
  badPasswordStyle: 'html' | '401';
  duplicates: 'insert' | 'update-in-place';
  readBackLagMs: number;
  deleteMissing: 'ok' | 'not-ok';
  timezone: string;
};

const defaults: CrossmarkSettings = {
  password: 'simulator',
  lockAfter: 5,
  sessionTtlMs: 3_600_000,
  expiredStyle: '401',
  serialiseSessions: false,
  latencyMs: {},
  realistic: false,
  badPasswordStyle: 'html',
  duplicates: 'insert',
  readBackLagMs: 0,
  deleteMissing: 'not-ok',
  timezone: 'America/Indiana/Indianapolis',
};

export function createCrossmarkSimulation({ now }: SimulationOptions): Simulation {
  const plan = new Plan(now);
  const operations = routeTable.map((route) => route.operation);
  const settings = new Settings<CrossmarkSettings>(settingsShape(operations), defaults);
  const sessions = new CrossmarkSessions(settings.current, now);
  const handlers = createHandlers(plan, sessions, settings.current);
  return {
    routes: routeTable.map((route) => ({
      ...route,
      mount: 'main',
      handle: handlers[route.operation],
      mention: (request) => mentionItem(plan, request),
    })),
    hasLoginHost: false,
    settings: settings.current,
    jsonType: crossmarkContentType,
    refusal: notOk('The request was refused'),
    change(input) {
      const before = settings.current.password;
      const issues = settings.change(input);
      if (settings.current.password !== before) sessions.unlock();
      return issues;
    },
    restoreSettings: () => settings.restore(),
    authorise: (request) => sessions.authorise(request),
    sessionKey: sessionId,
    expire: (style) => sessions.endAll(style),
    endSession: (request, style) => sessions.end(request, style),
    facts: () => crossmarkFacts(plan, sessions),
    reset() {
      plan.reset();
      sessions.reset();
    },
  };
}

type RouteRow = Omit<SimulatedRoute, 'mount' | 'handle' | 'mention' | 'operation'> & {
  operation: OperationName;
};

type OperationName =
  | 'login-page'
  | 'login'
  | 'logout'
  | 'get-user-info'
  | 'list-planning'
  | 'list-available-reps'
  | 'list-qualified-reps'
  | 'schedule-event'
  | 'unschedule-event'
  | 'reissue-event'
  | 'get-condition'
  | 'get-default-length';

const read = { needsSession: true, changes: false, realisticMs: 400 } as const;
const write = { needsSession: true, changes: true, realisticMs: 940 } as const;
const open = { needsSession: false, changes: true, realisticMs: 500 } as const;

const routeTable: readonly RouteRow[] = [
  { method: 'GET', path: '/login', operation: 'login-page', ...open, changes: false },
  { method: 'POST', path: '/login/authenticate', operation: 'login', ...open },
  { method: 'GET', path: '/logout', operation: 'logout', ...open },
  { method: 'POST', path: '/users/getUserInfo', operation: 'get-user-info', ...read },
  {
    method: 'GET',
    path: '/planningextcontroller/getPlanningMplans',
    operation: 'list-planning',
    ...read,
    realisticMs: 4000,
  },
  {
    method: 'POST',
    path: '/schedulingcontroller/getAvailableReps',
    operation: 'list-available-reps',
    ...read,
    realisticMs: 3000,
  },
  {
    method: 'GET',
    path: '/planningextcontroller/getQualifiedRepsForScheduling',
    operation: 'list-qualified-reps',
    ...read,
    realisticMs: 8000,
  },
  {
    method: 'POST',
    path: '/planningextcontroller/scheduleMplanEvent',
    operation: 'schedule-event',
    ...write,
  },
  {
    method: 'POST',
    path: '/planningextcontroller/deleteScheduledMplanEvent',
    operation: 'unschedule-event',
    ...write,
  },
  {
    method: 'POST',
    path: '/pendingworkextcontroller/createPendingWork/',
    operation: 'reissue-event',
    ...write,
  },
  {
    method: 'POST',
    path: '/planningextcontroller/getmPlanLocationCondition',
    operation: 'get-condition',
    ...read,
    realisticMs: 8100,
  },
  {
    method: 'GET',
    path: '/planningextcontroller/getDefaultScheduleLengthInMinutes',
    operation: 'get-default-length',
    ...read,
  },
];

function createHandlers(
  plan: Plan,
  sessions: CrossmarkSessions,
  settings: CrossmarkSettings,
): Record<OperationName, (request: SimulatedRequest) => SimulatedReply> {
  const lag = () => settings.readBackLagMs;
  return {
    'login-page': () => pageReply(loginPage()),
    login: (request) => sessions.login(request),
    logout: (request) => sessions.logout(request),
    'get-user-info': () =>
      jsonReply({
        username: simulatedUser,
        userId: '90001',
        firstName: 'Sim',
        lastName: 'Ulator',
        email: 'simulator@example.com',
      }),
    'list-planning': (request) => planningList(plan, request, settings.timezone),
    'list-available-reps': availableReps,
    'list-qualified-reps': (request) => qualifiedReps(request, settings.timezone),
    'schedule-event': (request) =>
      scheduleEvent(plan, request, { inPlace: settings.duplicates === 'update-in-place', lagMs: lag() }),
    'unschedule-event': (request) =>
      unscheduleEvent(plan, request, { missing: settings.deleteMissing, lagMs: lag() }),
    'reissue-event': (request) => reissueEvent(plan, request),
    'get-condition': (request) => locationCondition(plan, request, settings.timezone),
    'get-default-length': () => jsonReply({ defaults: [] }),
  };
}

function settingsShape(operations: readonly string[]) {
  return {
    ...commonSettingsShape(operations),
    badPasswordStyle: z.enum(['html', '401']),
    duplicates: z.enum(['insert', 'update-in-place']),
    readBackLagMs: z.int().min(0).max(3_600_000),
    deleteMissing: z.enum(['ok', 'not-ok']),
    timezone: z.string().refine(isTimezone, 'must be an IANA time zone'),
  };
}

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

function mentionItem(plan: Plan, request: SimulatedRequest): void {
  const { fields, query } = request;
  const mPlanId = fields.mPlanID ?? query.get('mPlanID');
  const locationId = fields.LocationID ?? fields.storeID ?? query.get('storeID');
  if (mPlanId && locationId) plan.mention(mPlanId, locationId);
}

function crossmarkFacts(plan: Plan, sessions: CrossmarkSessions) {
  const visits = plan.standing();
  const visitsByItem: Record<string, number> = {};
  for (const visit of visits) visitsByItem[visit.mPlanId] = (visitsByItem[visit.mPlanId] ?? 0) + 1;
  return {
    visits,
    visitsByItem,
    visitsMade: plan.visitsMade,
    visitsDeleted: plan.visitsDeleted,
    pendingWorkByItem: plan.pendingWorkByItem(),
    logins: sessions.logins,
    loginsRefused: sessions.loginsRefused,
    smsSent: 0,
  };
}
