/**
 * One HTTP exchange with an upstream, without any judgement of it: no retries, no redirects followed, no
 * exception for a status. What came of it is a value, `Exchange`, and classify files read that.
 *
 * Always true: `not_sent` is said only when no byte of the request can have left this machine (the request
 * never got a connection, or its new connection was never completed). Everything after that, a reset on a
 * reused keep-alive socket included, is `no_answer`: the upstream may have acted on it. Once status and headers have
 * arrived it is an `answer`, whatever becomes of the body.
 * Messages never carry a URL, a body or a cookie; they name the error code only.
 */
import { type ClientRequest, Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import got, { type Got, RequestError, type Response } from 'got';
import { CookieJar } from 'tough-cookie';
import { abortCause } from './abort.ts';

/** What a connection without an answer died of. `aborted`: the caller gave up for a reason of its own. */
export type NoAnswerCause = 'timeout' | 'reset' | 'aborted';

/** How the body of an answer was lost. `reset`: the connection broke, or it is not in its content encoding. */
export type BodyLoss = 'too_large' | NoAnswerCause;

/** An answer of the upstream, whatever its status. */
export type Answer = {
  readonly kind: 'answer';
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The content-type header, lower case, `''` when there is none. Some upstreams send JSON as text/html. */
  readonly contentType: string;
  /** Decompressed text; `''` when it was lost. */
  readonly body: string;
  /** Why there is no whole body. Status and headers arrived. */
  readonly bodyLost?: BodyLoss;
  /** Length of the Cookie header of the request, if it had one. */
  readonly cookieBytes?: number;
  /** Where a redirect points, as sent. May carry tokens: never log it. */
  readonly location?: string;
};

/** No byte of the request left: repeating it is safe whatever it does. */
export type NotSent = { readonly kind: 'not_sent'; readonly code: string; readonly message: string };

/** The request may have reached the upstream and no complete answer came back. */
export type NoAnswer = {
  readonly kind: 'no_answer';
  readonly cause: NoAnswerCause;
  readonly code: string;
  readonly message: string;
};

export type Exchange = Answer | NotSent | NoAnswer;

/** One request. At most one of `json`, `form` and `multipart` is given. */
export type HttpRequest = {
  readonly method: 'GET' | 'POST';
  /** Absolute, without a query string. */
  readonly url: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
  readonly multipart?: Readonly<Record<string, string>>;
  /** Sent from, and updated by the answer's Set-Cookie headers. */
  readonly cookies?: CookieJar;
  /**
   * Ends the exchange. A reason named `TimeoutError` (as `AbortSignal.timeout` gives) counts as the upstream's
   * time being up; any other reason counts as the caller giving up, which says nothing about the upstream.
   */
  readonly signal: AbortSignal;
  /** Until when, by `performance.now()`, it may leave; later it is `not_sent` with `ERR_TOO_LATE`. */
  readonly sendBy?: number;
};

export type Http = {
  /** Makes one exchange. Never rejects for anything the network or the upstream did. */
  send(request: HttpRequest): Promise<Exchange>;
  /** Ends idle connections. Safe to call twice. */
  close(): void;
};

/** The honest name we go by, upstreams.md section A2 and B1: no browser is imitated. */
export const userAgent = 'Recloser/0.1 (queued calls on behalf of a customer application)';

const defaultMaxBodyBytes = 32 * 1024 * 1024;

/** Makes the sender of one upstream, with keep-alive connections of its own. `maxBodyBytes` caps an answer. */
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

/** An empty jar for a new session. */
export function newCookies(): CookieJar {
  return new CookieJar(undefined, { looseMode: true });
}

/** A jar as text, to keep inside (sealed) session data. */
export function serializeCookies(jar: CookieJar): string {
  return JSON.stringify(jar.serializeSync() ?? {});
}

/** The jar out of session data. Throws when the text was not made by `serializeCookies`. */
export function parseCookies(text: string): CookieJar {
  return CookieJar.deserializeSync(text);
}

/**
 * The jar's names, values and expiry as one text, without access times: equal texts mean nothing changed and
 * nothing needs saving. As secret as the jar itself.
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
    // A caller that gave up while the body was being prepared must not cause a connection any more.
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
  // Serialised whole, so that it is sent with a Content-Length as browsers do and not in chunks.
  const encoded = new globalThis.Response(form);
  const contentType = encoded.headers.get('content-type') ?? 'multipart/form-data';
  const body = new Uint8Array(await encoded.arrayBuffer());
  return { headers: { ...headers, 'content-type': contentType }, body };
}

/** What is known of an answer before its body. */
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
  timeout: 'No complete answer came in time',
  reset: 'The connection broke before a complete answer came',
  aborted: 'The attempt was given up before a complete answer came',
};

/** Knows whether a request can have left: it has once its socket was open, or was open already. */
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
        // The connection failed at once, before the request was handed to it: nothing can be written any more.
        if (!socket.destroyed) this.#watchSocket(request, socket);
      });
    }
  }

  #watchSocket(request: ClientRequest, socket: Socket): void {
    const sent = () => {
      this.mayHaveSent = !this.tooLate;
    };
    // Runs before Node writes the request, in the same turn: a process that was frozen meanwhile is caught here.
    const check = () => {
      if (performance.now() <= this.#sendBy) return;
      this.tooLate = true;
      request.destroy(new Error('too late to send'));
    };
    if (socket.connecting) socket.once('connect', check);
    else check();
    // With TLS nothing of the request is sent before the handshake is complete.
    if (request.reusedSocket) sent();
    else if (socket instanceof TLSSocket) socket.once('secureConnect', sent);
    else if (socket.connecting) socket.once('connect', sent);
    else sent();
  }
}
