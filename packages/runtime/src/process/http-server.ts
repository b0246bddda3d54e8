/**
 * Starts an HTTP server and stops it politely.
 *
 * Always true: after `close` begins no new connection is taken; requests already running may finish within the
 * grace, then whatever is left (long polls, event streams) is cut.
 */
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The server could not listen; the message says what to change. */
export class ListenError extends Error {
  readonly code = 'listen_failed';
  override readonly name = 'ListenError';
}

/** A server that listens. */
export type HttpServer = {
  /** Without a slash at the end; a wildcard host is shown as loopback. */
  readonly url: string;
  readonly port: number;
  /** Safe to call twice. */
  close(graceMs: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Where to listen. `portVariable` is named when the port is busy, e.g. `WEB_PORT`. */
export type ListenOptions = { readonly host: string; readonly port: number; readonly portVariable?: string };

/**
 * Longer than proxies keep an idle connection (60 s as a rule): who closes first must not be us, or a request that was
 * just being sent on it gets no answer.
 */
const keepAliveMs = 65_000;

/** Listens with `app` (an Express app or any request listener). Throws {@link ListenError}. */
export async function listen(app: RequestListener, options: ListenOptions): Promise<HttpServer> {
  const server = createServer({ keepAliveTimeout: keepAliveMs }, app);
  const running = new Set<ServerResponse>();
  let closing: Promise<void> | undefined;
  server.prependListener('request', (_request, response: ServerResponse) => {
    running.add(response);
    if (closing) response.setHeader('Connection', 'close');
    response.once('close', () => {
      running.delete(response);
      if (closing) server.closeIdleConnections();
    });
  });
  await bind(server, options);
  const { port } = server.address() as AddressInfo;
  const close = (graceMs: number): Promise<void> => {
    closing ??= closeServer(server, running, graceMs);
    return closing;
  };
  return { url: urlOf(options.host, port), port, close, [Symbol.asyncDispose]: () => close(0) };
}

function bind(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(explain(cause, options)));
    server.listen(options.port, options.host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function explain(cause: NodeJS.ErrnoException, { host, port, portVariable }: ListenOptions): ListenError {
  const remedy = portVariable ? `set ${portVariable} to another port` : 'choose another port';
  if (cause.code === 'EADDRINUSE') {
    return new ListenError(
      `port ${port} on ${host} is taken by another program: ${remedy}, or stop that program`,
      { cause },
    );
  }
  if (cause.code === 'EACCES') return new ListenError(`port ${port} needs more rights: ${remedy}`, { cause });
  return new ListenError(`cannot listen on ${host}:${port} (${cause.code}): check HOST, or ${remedy}`, {
    cause,
  });
}

function closeServer(server: Server, running: ReadonlySet<ServerResponse>, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const deadline = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearTimeout(deadline);
      resolve();
    });
    for (const response of running) if (!response.headersSent) response.setHeader('Connection', 'close');
    server.closeIdleConnections();
  });
}

function urlOf(host: string, port: number): string {
  const shown = host === '0.0.0.0' || host === '::' || host === '' ? '127.0.0.1' : host;
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`;
}
