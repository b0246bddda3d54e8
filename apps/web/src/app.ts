/**
 * The Express app: turns requests into plain ones, has the table's handlers answer, and writes the answers.
 *
 * Always true: it never listens; every answer has a request id and is never cached; bodies and query strings
 * are never logged.
 */
import { randomUUID } from 'node:crypto';
import express, {
  type Express,
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import helmet from 'helmet';
import { authenticate } from './api-keys.ts';
import { hostName, isLoopback } from './loopback.ts';
import { problem, problemOf } from './problem.ts';
import type { ApiRequest, ApiResponse, Route } from './route.ts';
import { createRoutes } from './routes.ts';
import type { WebDeps } from './web-deps.ts';

const bodyLimit = '100kb';

/** Builds the app over its dependencies. */
export function createApp(deps: WebDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(helmet(), giveRequestId, accessLog(deps));
  for (const route of createRoutes(deps)) app[route.method](route.path, ...routeHandlers(route, deps));
  app.use(requireKey(deps), (_request, response) => {
    send(response, problem('not_found', { detail: 'Check the method and the address.' }));
  });
  app.use(answerError(deps));
  return app;
}

function routeHandlers(route: Route, deps: WebDeps): RequestHandler[] {
  const mark: RequestHandler = (_request, response, next) => {
    response.locals.route = route.path;
    next();
  };
  const handle: RequestHandler = async (request, response) => {
    send(response, await route.handle(plainRequest(request, response)));
  };
  const guard = route.open ? [] : [requireKey(deps)];
  return [
    mark,
    ...guard,
    checkAddress(route),
    ...(route.method === 'post' ? [requireJson, readJson()] : []),
    handle,
  ];
}

function checkAddress({ check }: Route): RequestHandler {
  return (request, response, next) => {
    const refusal = check?.(paramsOf(request));
    if (refusal) send(response, refusal);
    else next();
  };
}

function readJson(): RequestHandler {
  return express.json({
    limit: bodyLimit,
    // What comes here says it is JSON; what it holds is for the handler to judge.
    type: () => true,
    strict: false,
    verify(_request, _response, bytes) {
      // The parser would take nothing at all for an empty object.
      if (bytes.length === 0) throw new Error('empty body');
    },
  });
}

/** Takes the client's id when it is harmless, so that it can be found in both logs. */
function giveRequestId(request: Request, response: Response, next: NextFunction): void {
  const given = request.get('X-Request-Id') ?? '';
  const id = /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : randomUUID();
  response.locals.requestId = id;
  response.locals.startedAt = performance.now();
  response.set({ 'X-Request-Id': id, 'Cache-Control': 'no-store' });
  next();
}

function accessLog(deps: WebDeps): RequestHandler {
  return (request, response, next) => {
    // Read now: a router may change what Express says of the path.
    const { method, path } = request;
    response.once('close', () => {
      const { requestId, startedAt, client, problemCode: code, route = 'none' } = response.locals;
      const durationMs = performance.now() - startedAt;
      const status = response.writableFinished ? response.statusCode : 499;
      deps.metrics.answered({ route, method, status, seconds: durationMs / 1000, ...(code && { code }) });
      const entry = { requestId, method, path, status, durationMs: Math.round(durationMs), client, code };
      // Probes and scrapes come every few seconds and say nothing.
      if (String(route).startsWith('/v1') || status >= 400) deps.log.info(entry, 'answered');
      else deps.log.debug(entry, 'answered');
    });
    next();
  };
}

function requireKey(deps: WebDeps): RequestHandler {
  return (request, response, next) => {
    const found = authenticate(deps.apiKeys, request.get('Authorization'));
    if (found.kind !== 'ok') {
      const detail =
        found.kind === 'missing' ? 'Send Authorization: Bearer <key>.' : 'This key is not known.';
      const challenge = found.kind === 'missing' ? 'Bearer' : 'Bearer error="invalid_token"';
      return send(response, problem('unauthorized', { detail, headers: { 'WWW-Authenticate': challenge } }));
    }
    // Open means: from this machine. A page elsewhere whose name was pointed here must not get in.
    if (deps.apiKeys.length === 0 && !isLoopback(hostName(request.get('Host')))) {
      return send(response, problem('forbidden', { detail: 'Without API keys only localhost is served.' }));
    }
    response.locals.client = found.name;
    next();
  };
}

function requireJson(request: Request, response: Response, next: NextFunction): void {
  const type = (request.get('Content-Type') ?? '').split(';')[0]?.trim().toLowerCase();
  if (type === 'application/json') next();
  else send(response, problem('unsupported_media_type', { detail: 'Send Content-Type: application/json.' }));
}

function plainRequest(request: Request, response: Response): ApiRequest {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  return {
    params: paramsOf(request),
    query: request.query,
    header: (name) => request.get(name),
    body: request.body as unknown,
    client: response.locals.client as string | undefined,
    requestId: String(response.locals.requestId),
    signal: gone.signal,
  };
}

function paramsOf(request: Request): Record<string, string> {
  return Object.fromEntries(Object.entries(request.params).map(([name, value]) => [name, String(value)]));
}

function send(response: Response, { status, headers, body, problem: code }: ApiResponse): void {
  if (code !== undefined) response.locals.problemCode = code;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response
    .status(status)
    .set({ 'Content-Type': 'application/json; charset=utf-8', ...headers })
    .end(text);
}

/** Express knows an error handler by its four parameters. */
function answerError(deps: WebDeps) {
  return (error: unknown, _request: Request, response: Response, next: NextFunction): void => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const { response: answer, fault } = problemOf(error);
    const { requestId } = response.locals;
    if (fault) deps.log.error({ err: error, requestId }, 'a request failed');
    send(response, answer);
  };
}
