/**
 * The Express app: converts requests for the handlers of the route table and writes their responses. Every response has
 * an `X-Request-Id` and is not cacheable. Bodies and query strings are never logged.
 */
import { randomUUID } from 'node:crypto';
import type { Span } from '@recloser/runtime/observe/tracing';
import express, {
  type Express,
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from 'express';
import helmet from 'helmet';
import { authenticate, type Scope } from './http/api-keys.ts';
import { hostName, isLoopback } from './http/loopback.ts';
import { problem, problemOf, rateLimited } from './http/problem.ts';
import type { ApiRequest, ApiResponse, Route } from './http/route.ts';
import { endRequest, traceRequest } from './http/trace.ts';
import type { WebDeps } from './http/web-deps.ts';
import { createRoutes } from './routes.ts';

/** Builds the app. It does not listen yet. */
export function createApp(deps: WebDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(secureHeaders(), giveRequestId, accessLog(deps));
  for (const route of createRoutes(deps)) app[route.method](route.path, ...routeHandlers(route, deps));
  app.use(requireKey(deps), (_request, response) => {
    send(response, problem('not_found', { detail: 'Check the method and the URL.' }));
  });
  app.use(answerError(deps));
  return app;
}

function routeHandlers(route: Route, deps: WebDeps): RequestHandler[] {
  const mark: RequestHandler = (request, response, next) => {
    response.locals.route = route.path;
    if (route.path.startsWith('/v1')) response.locals.span = traceRequest(deps, request, route.path);
    next();
  };
  const handle: RequestHandler = async (request, response) => {
    send(response, await route.handle(plainRequest(request, response)));
  };
  const { scope, bodyLimit } = route;
  return [
    mark,
    ...(scope === undefined ? [] : [requireKey(deps, scope), limitRate(deps)]),
    checkAddress(route),
    ...(bodyLimit === undefined ? [] : [requireJson, readJson(bodyLimit)]),
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

function readJson(limit: string): RequestHandler {
  return express.json({
    limit,
    // requireJson has checked the Content-Type. The handler validates the value.
    type: () => true,
    strict: false,
    verify(_request, _response, bytes) {
      // The parser would read an empty body as {}.
      if (bytes.length === 0) throw new Error('empty body');
    },
  });
}

/** Helmet sets the same headers on every response, so they are computed once. */
function secureHeaders(): RequestHandler {
  const headers = new Map<string, string>();
  const sample = {
    setHeader: (name: string, value: string) => void headers.set(name, value),
    removeHeader: (name: string) => void headers.delete(name),
  };
  helmet()({} as Request, sample as unknown as Response, (error) => {
    if (error) throw error;
  });
  return (_request, response, next) => {
    response.setHeaders(headers);
    next();
  };
}

/** Uses the client's request id if it is safe to log, so that both logs contain the same id. */
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
    // A router can change `request.path` later.
    const { method, path } = request;
    response.once('close', () => {
      const { requestId, startedAt, client, problemCode: code, route = 'none' } = response.locals;
      const span = response.locals.span as Span | undefined;
      const durationMs = performance.now() - startedAt;
      const status = response.writableFinished ? response.statusCode : 499;
      deps.metrics.answered({ route, method, status, seconds: durationMs / 1000, ...(code && { code }) });
      const entry = {
        requestId,
        method,
        path,
        status,
        durationMs: Math.round(durationMs),
        client,
        code,
        ...span?.ids,
      };
      if (span) endRequest(span, status);
      // Health probes and scrapes would fill the log.
      if (String(route).startsWith('/v1') || status >= 400) deps.log.info(entry, 'answered');
      else deps.log.debug(entry, 'answered');
    });
    next();
  };
}

function requireKey(deps: WebDeps, scope?: Scope): RequestHandler {
  return (request, response, next) => {
    if (deps.keys.open) {
      if (isOwnPage(request)) return next();
      return send(
        response,
        problem('forbidden', {
          detail:
            'No API keys are configured, so only requests from localhost are allowed. Call localhost, or configure API_KEYS.',
        }),
      );
    }
    const found = authenticate(deps.keys.current(), request.get('Authorization'));
    if (found.kind !== 'ok') {
      const detail =
        found.kind === 'missing' ? 'Send Authorization: Bearer <key>.' : 'This API key is unknown.';
      const challenge = found.kind === 'missing' ? 'Bearer' : 'Bearer error="invalid_token"';
      return send(response, problem('unauthorized', { detail, headers: { 'WWW-Authenticate': challenge } }));
    }
    response.locals.client = found.name;
    if (scope === undefined || !found.scopes || found.scopes.includes(scope)) return next();
    const headers = { 'WWW-Authenticate': `Bearer error="insufficient_scope", scope="${scope}"` };
    const detail = `This request requires the scope "${scope}", which the API key does not have.`;
    return send(response, problem('insufficient_scope', { detail, headers, more: { scope } }));
  };
}

/**
 * Without API keys, only this machine is allowed. The check of `Origin` and `Host` stops pages of other origins and DNS
 * rebinding.
 */
function isOwnPage(request: Request): boolean {
  const host = hostName(request.get('Host'));
  const origin = request.get('Origin');
  return (
    isLoopback(host) && (origin === undefined || isLoopback(hostName(origin.replace(/^https?:\/\//, ''))))
  );
}

function limitRate(deps: WebDeps): RequestHandler {
  return async (_request, response, next) => {
    const verdict = await deps.rateLimit.spend(response.locals.client as string | undefined, 1);
    if (verdict) response.set(verdict.headers);
    if (verdict?.allowed === false) send(response, rateLimited(verdict.resetSeconds));
    else next();
  };
}

function requireJson(request: Request, response: Response, next: NextFunction): void {
  const type = (request.get('Content-Type') ?? '').split(';')[0]?.trim().toLowerCase();
  if (type === 'application/json') next();
  else send(response, problem('unsupported_media_type', { detail: 'Send Content-Type: application/json.' }));
}

function plainRequest(request: Request, response: Response): ApiRequest {
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  return {
    params: paramsOf(request),
    query: request.query,
    header: (name) => request.get(name),
    body: request.body as unknown,
    client: response.locals.client as string | undefined,
    requestId: String(response.locals.requestId),
    trace: (response.locals.span as Span | undefined)?.headers,
    signal: gone.signal,
  };
}

function paramsOf(request: Request): Record<string, string> {
  return Object.fromEntries(Object.entries(request.params).map(([name, value]) => [name, String(value)]));
}

function send(response: Response, { status, headers, body, problem: code, stream }: ApiResponse): void {
  if (code !== undefined) response.locals.problemCode = code;
  response.status(status).set({ 'Content-Type': 'application/json; charset=utf-8', ...headers });
  if (stream) {
    response.flushHeaders();
    // The headers are sent, so an error can only end the stream. The client reconnects.
    stream((piece) => void response.write(piece)).then(
      () => response.end(),
      () => response.end(),
    );
  } else if (status === 204) {
    response.removeHeader('Content-Type');
    response.end();
  } else response.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
}

/** Express recognizes an error handler by its four parameters. */
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
