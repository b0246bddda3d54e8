/**
 * Makes one HTTP exchange with an upstream: no retries, no redirects, no exception for a status.
 *
 * The result is `not_sent` only if no byte of the request can have left this machine. After that, a reset on a reused
 * socket included, it is `no_answer`. Once status and headers have arrived, it is an `answer`, even if the body is
 * lost.
 */
import { type ClientRequest, Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import got, { type Got, RequestError, type Response } from 'got';
import { CookieJar } from 'tough-cookie';
import { abortCause } from './abort.ts';

/** Why there is no answer. `aborted`: the caller gave up for a reason other than a timeout. */
export type NoAnswerCause = 'timeout' | 'reset' | 'aborted';

/** Why a body was lost. `reset`: the connection broke, or the body could not be decoded. */
export type BodyLoss = 'too_large' | NoAnswerCause;

/** An answer with any status. */
export type Answer = {
  readonly kind: 'answer';
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The content-type header in lower case, `''` if absent. Some upstreams send JSON as text/html. */
  readonly contentType: string;
  /** Decompressed text; `''` if it was lost. */
  readonly body: string;
  /** Set if the body is missing or incomplete. */
  readonly bodyLost?: BodyLoss;
  /** Length of the request's Cookie header, if any. */
  readonly cookieBytes?: number;
  /** The Location header. May contain tokens: never log it. */
  readonly location?: string;
};

/** No byte of the request left this machine, so it is safe to repeat. */
export type NotSent = { readonly kind: 'not_sent'; readonly code: string; readonly message: string };

/** The request may have reached the upstream, and no answer came back. */
export type NoAnswer = {
  readonly kind: 'no_answer';
  readonly cause: NoAnswerCause;
  readonly code: string;
  readonly message: string;
};

export type Exchange = Answer | NotSent | NoAnswer;

/** One request, with at most one of `json`, `form` and `multipart`. */
export type HttpRequest = {
  readonly method: 'GET' | 'POST';
  /** Absolute, without a query string. */
  readonly url: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
  readonly multipart?: Readonly<Record<string, string>>;
  /** The cookies to send. The answer's Set-Cookie headers update it. */
  readonly cookies?: CookieJar;
  /**
   * Ends the exchange. A reason named `TimeoutError` counts as a timeout of the upstream. Any other reason shows
   * nothing of the upstream's health.
   */
  readonly signal: AbortSignal;
  /** Latest time to send, by `performance.now()`. After it the result is `not_sent` with `ERR_TOO_LATE`. */
  readonly sendBy?: number;
};

export type Http = {
  /** Makes one exchange. Never rejects because of the network or the upstream. */
  send(request: HttpRequest): Promise<Exchange>;
  /** Closes idle connections. Safe to call twice. */
  close(): void;
};

/** Names us. We do not imitate a browser. */
export const userAgent = 'Recloser/0.1 (queued calls on behalf of a customer application)';

const defaultMaxBodyBytes = 32 * 1024 * 1024;

/** Creates the HTTP client of one upstream, with its own keep-alive connections. `maxBodyBytes` limits an answer. */
export function createHttp(options: { maxBodyBytes?: number } = {}): Http {
  const agent = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) };
  const instance = got.extend({
    agent,
    retry: { limit: 0 },
    throwHttpErrors: false,
    followRedirect: false,
    decompress: true,
    responseType: 'text',
    ignoreInvalidCookies: true,
    headers: { 'user-agent': userAgent },
  });
  const maxBodyBytes = options.maxBodyBytes ?? defaultMaxBodyBytes;
  return {
    send: (request) => exchange(instance, request, maxBodyBytes),
    close() {
      agent.http.destroy();
      agent.https.destroy();
    },
  };
}

export function newCookies(): CookieJar {
  return new CookieJar(undefined, { looseMode: true });
}

/** A jar as text, for (encrypted) session data. */
export function serializeCookies(jar: CookieJar): string {
  return JSON.stringify(jar.serializeSync() ?? {});
}

/** Reads a jar that `serializeCookies` wrote. Throws on any other text. */
export function parseCookies(text: string): CookieJar {
  return CookieJar.deserializeSync(text);
}

/**
 * The names, values and expiry times of a jar as one text, without access times. Equal texts mean that nothing needs
 * saving. As secret as the jar.
 */
export function cookieState(jar: CookieJar): string {
  const cookies = jar.serializeSync()?.cookies ?? [];
  const lines = cookies.map((cookie) =>
    JSON.stringify([cookie.domain, cookie.path, cookie.key, cookie.value, cookie.expires, cookie.maxAge]),
  );
  return lines.sort().join('\n');
}

async function exchange(instance: Got, request: HttpRequest, maxBodyBytes: number): Promise<Exchange> {
  const connection = new ConnectionWatch(request.sendBy);
  const tooLarge = new AbortController();
  let answered: Head | undefined;
  try {
    const body = await bodyOptions(request);
    // If the caller gave up while the body was being prepared, open no connection.
    if (request.signal.aborted) return withoutAnswer('ERR_ABORTED', request.signal, connection);
    const pending = instance(request.url, {
      ...body,
      responseType: 'text',
      method: request.method,
      signal: AbortSignal.any([request.signal, tooLarge.signal]),
      ...(request.query && { searchParams: { ...request.query } }),
      ...(request.cookies && { cookieJar: request.cookies }),
    });
    pending.on('request', (sent) => {
      connection.watch(sent);
      sent.once('response', (response: IncomingMessage) => {
        const cookie = sent.getHeader('cookie');
        const cookieBytes = typeof cookie === 'string' ? cookie.length : 0;
        answered = { statusCode: response.statusCode ?? 0, headers: response.headers, cookieBytes };
      });
    });
    pending.on('downloadProgress', ({ transferred }) => {
      if (transferred > maxBodyBytes) tooLarge.abort();
    });
    const response = await pending;
    return answer(answered ?? response, response.body);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    if (!answered) return withoutAnswer(error.code, request.signal, connection);
    const bodyLost = tooLarge.signal.aborted ? 'too_large' : causeOf(error.code, request.signal);
    return { ...answer(answered, ''), bodyLost };
  }
}

type BodyOptions = {
  headers: Record<string, string>;
  json?: unknown;
  form?: Record<string, string>;
  body?: Uint8Array;
};

async function bodyOptions(request: HttpRequest): Promise<BodyOptions> {
  const headers = { ...request.headers };
  if (request.json !== undefined) return { headers, json: request.json };
  if (request.form) return { headers, form: { ...request.form } };
  if (!request.multipart) return { headers };
  const form = new FormData();
  for (const [name, value] of Object.entries(request.multipart)) form.append(name, value);
  // Serialised first, so that it is sent with a Content-Length like a browser's and not in chunks.
  const encoded = new globalThis.Response(form);
  const contentType = encoded.headers.get('content-type') ?? 'multipart/form-data';
  const body = new Uint8Array(await encoded.arrayBuffer());
  return { headers: { ...headers, 'content-type': contentType }, body };
}

type Head = Pick<Response, 'statusCode' | 'headers'> & { readonly cookieBytes?: number };

function answer(response: Head, body: string): Answer {
  const { location } = response.headers;
  const { cookieBytes = 0 } = response;
  return {
    kind: 'answer',
    status: response.statusCode,
    headers: response.headers,
    contentType: (response.headers['content-type'] ?? '').toLowerCase(),
    body,
    ...(cookieBytes > 0 && { cookieBytes }),
    ...(location !== undefined && { location }),
  };
}

function causeOf(code: string, signal: AbortSignal): NoAnswerCause {
  if (signal.aborted) return abortCause(signal);
  return code === 'ETIMEDOUT' ? 'timeout' : 'reset';
}

function withoutAnswer(code: string, signal: AbortSignal, connection: ConnectionWatch): NotSent | NoAnswer {
  const cause = causeOf(code, signal);
  const stableCode = connection.tooLate
    ? 'ERR_TOO_LATE'
    : signal.aborted
      ? cause === 'timeout'
        ? 'ETIMEDOUT'
        : 'ERR_ABORTED'
      : code;
  if (!connection.mayHaveSent) {
    return { kind: 'not_sent', code: stableCode, message: `No connection was made (${stableCode}).` };
  }
  return { kind: 'no_answer', cause, code: stableCode, message: `${noAnswerText[cause]} (${stableCode}).` };
}

const noAnswerText: Readonly<Record<NoAnswerCause, string>> = {
  timeout: 'No complete answer arrived in time',
  reset: 'The connection broke before a complete answer arrived',
  aborted: 'The attempt was aborted before a complete answer arrived',
};

/** Tracks whether a request can have left: yes, as soon as its socket is open. */
class ConnectionWatch {
  mayHaveSent = false;
  tooLate = false;
  readonly #sendBy: number;

  constructor(sendBy = Number.POSITIVE_INFINITY) {
    this.#sendBy = sendBy;
  }

  watch(request: ClientRequest): void {
    if (request.socket) this.#watchSocket(request, request.socket);
    else {
      request.once('socket', (socket: Socket) => {
        // A destroyed socket failed before it got the request, so nothing was written.
        if (!socket.destroyed) this.#watchSocket(request, socket);
      });
    }
  }

  #watchSocket(request: ClientRequest, socket: Socket): void {
    const sent = () => {
      this.mayHaveSent = !this.tooLate;
    };
    // Runs in the turn in which Node writes the request, so it detects a process that was frozen before.
    const check = () => {
      if (performance.now() <= this.#sendBy) return;
      this.tooLate = true;
      request.destroy(new Error('too late to send'));
    };
    if (socket.connecting) socket.once('connect', check);
    else check();
    // TLS sends nothing of the request before the handshake is complete.
    if (request.reusedSocket) sent();
    else if (socket instanceof TLSSocket) socket.once('secureConnect', sent);
    else if (socket.connecting) socket.once('connect', sent);
    else sent();
  }
}
