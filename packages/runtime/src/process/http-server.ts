/**
 * Starts and stops an HTTP server. `close` accepts no more connections, lets running requests finish within the grace
 * period, then cuts the rest, such as long polls and event streams.
 */
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The server cannot listen. The message says what to change. */
export class ListenError extends Error {
  readonly code = 'listen_failed';
  override readonly name = 'ListenError';
}

export type HttpServer = {
  /** Without a trailing slash. A wildcard host appears as loopback. */
  readonly url: string;
  readonly port: number;
  /** Idempotent. */
  close(graceMs: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** `portVariable` is the variable that error messages tell to change, such as `WEB_PORT`. */
type ListenOptions = { readonly host: string; readonly port: number; readonly portVariable?: string };

/**
 * Longer than a proxy keeps an idle connection (usually 60 s). If the server closed first, a request sent at that
 * moment would get no response.
 */
const keepAliveMs = 65_000;

/** Listens with an Express app or any other request listener. Throws {@link ListenError}. */
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
  if (cause.code === 'EACCES')
    return new ListenError(`port ${port} requires elevated privileges: ${remedy}`, { cause });
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
