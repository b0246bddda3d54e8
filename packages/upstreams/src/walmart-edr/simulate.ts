/**
 * A simulated Retail Link event management, from docs/upstreams/walmart-edr.md. The sign-in has its own mount. Both
 * mounts share cookies, because they are on the same simulated host.
 */
import { z } from 'zod';
import {
  commonSettingsShape,
  Settings,
  type SimulatedReply,
  type SimulatedRequest,
  type SimulatedRoute,
  type Simulation,
  type SimulationOptions,
} from '../simulation/simulation.ts';
import { browseData, edrReport } from './simulate/events.ts';
import { walmartJsonType } from './simulate/replies.ts';
import { type WalmartSettings, WalmartSignIn } from './simulate/sign-in.ts';

const defaults: WalmartSettings = {
  password: 'simulator',
  lockAfter: 5,
  sessionTtlMs: 28_800_000,
  idleTtlMs: 2_340_000,
  codeTtlMs: 300_000,
  expiredStyle: '401',
  serialiseSessions: false,
  latencyMs: {},
  realistic: false,
};

export function createWalmartEdrSimulation({ now }: SimulationOptions): Simulation {
  const settings = new Settings<WalmartSettings>(
    {
      ...commonSettingsShape([...new Set(routeTable.map((route) => route.operation))]),
      idleTtlMs: z.int().min(1).max(86_400_000),
      codeTtlMs: z.int().min(1).max(86_400_000),
    },
    defaults,
  );
  const signIn = new WalmartSignIn(settings.current, now);
  const handlers = createHandlers(signIn);
  return {
    routes: routeTable.map((route) => ({ ...route, handle: handlers[route.operation] })),
    hasLoginHost: true,
    settings: settings.current,
    jsonType: walmartJsonType,
    refusal: null,
    change(input) {
      const before = settings.current.password;
      const issues = settings.change(input);
      if (settings.current.password !== before) signIn.unlock();
      return issues;
    },
    restoreSettings: () => settings.restore(),
    authorise: (request) => signIn.authorise(request),
    sessionKey: (request) => signIn.sessionOf(request),
    expire: (style) => signIn.endAll(style),
    endSession: (request, style) => signIn.end(request, style),
    facts: () => ({
      visits: [],
      visitsByItem: {},
      visitsMade: 0,
      visitsDeleted: 0,
      pendingWorkByItem: {},
      logins: signIn.logins,
      loginsRefused: signIn.loginsRefused,
      smsSent: signIn.smsSent,
    }),
    reset: () => signIn.reset(),
  };
}

type OperationName =
  | 'login-page'
  | 'login'
  | 'send-code'
  | 'verify-code'
  | 'portal'
  | 'authenticate'
  | 'get-report'
  | 'browse-events';

type RouteRow = Omit<SimulatedRoute, 'handle' | 'mention' | 'operation'> & { operation: OperationName };

const login = { mount: 'login', needsSession: false, changes: true, realisticMs: 600 } as const;
const portal = {
  method: 'GET',
  mount: 'main',
  needsSession: false,
  changes: false,
  realisticMs: 500,
} as const;
const read = { mount: 'main', needsSession: true, changes: false, realisticMs: 2100 } as const;

const routeTable: readonly RouteRow[] = [
  { method: 'GET', path: '/login', operation: 'login-page', ...login, changes: false },
  { method: 'POST', path: '/api/login', operation: 'login', ...login },
  { method: 'POST', path: '/api/mfa/sendCode', operation: 'send-code', ...login },
  { method: 'POST', path: '/api/mfa/validateCode', operation: 'verify-code', ...login },
  { path: '/rl_portal_services/api/Site/InsertRlPageDetails', operation: 'portal', ...portal },
  { path: '/rl_portal/', operation: 'portal', ...portal },
  { path: '/EventManagement/', operation: 'portal', ...portal },
  { path: '/EventManagement/api/authenticate', operation: 'authenticate', ...portal, changes: true },
  { method: 'GET', path: '/EventManagement/api/edrReport', operation: 'get-report', ...read },
  {
    method: 'POST',
    path: '/EventManagement/api/browse-event/browse-data',
    operation: 'browse-events',
    ...read,
  },
];

function createHandlers(
  signIn: WalmartSignIn,
): Record<OperationName, (request: SimulatedRequest) => SimulatedReply> {
  return {
    'login-page': () => signIn.page(),
    login: (request) => signIn.login(request),
    'send-code': (request) => signIn.sendCode(request),
    'verify-code': (request) => signIn.verifyCode(request),
    portal: (request) => signIn.portal(request),
    authenticate: (request) => signIn.authenticate(request),
    'get-report': (request) => signIn.rotate(request, edrReport(request)),
    'browse-events': (request) => signIn.rotate(request, browseData(request)),
  };
}
