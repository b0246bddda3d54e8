/**
 * Sends one callback: a single POST to an allowed host, with one timeout. Redirects are not followed.
 *
 * The connection uses the address that was resolved and checked for it, so DNS rebinding has no effect. At most 64 KiB of
 * the answer are read, and they are discarded.
 */
import { type LookupAddress, lookup } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { type CallbackHosts, hostOf, isAllowedAddress } from '@recloser/calls/callback/hosts';
import { retryAfterMs } from '@recloser/runtime/values/retry-after';

/** The result of one attempt. `reason` contains nothing that the receiver sent. */
export type SendResult =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfterMs: number | null }
  | { readonly kind: 'unreachable'; readonly reason: string }
  /** The host name resolves only to addresses that are not allowed. */
  | { readonly kind: 'forbidden-address' };

/** Resolves a name to addresses; replaced in tests only. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

export type SendOptions = {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly hosts: CallbackHosts;
  readonly timeoutMs: number;
  /** Aborted when the worker stops. The send then rejects with its reason. */
  readonly signal: AbortSignal;
  readonly resolve?: Resolve;
};

class ForbiddenAddress extends Error {
  readonly code = 'forbidden_address';
}

const answerMaxBytes = 64 * 1024;
const maxHeaderSize = 16 * 1024;

/** Sends the callback. Rejects only with the signal's reason. */
export async function sendCallback(options: SendOptions): Promise<SendResult> {
  const host = hostOf(options.url);
  if (isIP(host) !== 0 && !isAllowedAddress(options.hosts, host, host)) return { kind: 'forbidden-address' };
  try {
    return await post(options, host);
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof ForbiddenAddress) return { kind: 'forbidden-address' };
    return { kind: 'unreachable', reason: reasonOf(error) };
  }
}

function post(options: SendOptions, host: string): Promise<SendResult> {
  const { url, headers, body, timeoutMs } = options;
  const bytes = Buffer.from(body);
  const { promise, resolve, reject } = Promise.withResolvers<SendResult>();
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)]);
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const request = send(url, {
    method: 'POST',
    headers: { ...headers, 'content-length': bytes.length },
    signal,
    maxHeaderSize,
    // Callbacks are rare, and a kept-alive connection may be dead.
    agent: false,
    lookup: checkedLookup(options, host),
  });
  request.once('error', (error) => reject(signal.aborted ? signal.reason : error));
  request.once('response', (response) => {
    const status = response.statusCode ?? 0;
    const pauseMs = retryAfterMs(response.headers['retry-after'], Date.now());
    let read = 0;
    response.on('data', (part: Buffer) => {
      read += part.length;
      if (read > answerMaxBytes) response.destroy();
    });
    // The status counts even if the body breaks off.
    response.on('error', () => undefined);
    response.once('close', () => resolve({ kind: 'answered', status, retryAfterMs: pauseMs }));
  });
  request.end(bytes);
  return promise;
}

/** Node connects only to the returned addresses. It does not call this for a literal IP address. */
function checkedLookup({ hosts, resolve = resolveHost }: SendOptions, host: string): LookupFunction {
  return (_name, { all }, done) => {
    resolve(host).then(
      (found) => {
        const allowed = found.filter(({ address }) => isAllowedAddress(hosts, host, address));
        const [first] = allowed;
        if (!first) done(new ForbiddenAddress('the host name resolves to no allowed address'), '', 0);
        else if (all) done(null, allowed);
        else done(null, first.address, first.family);
      },
      (error: NodeJS.ErrnoException) => done(error, '', 0),
    );
  };
}

const resolveHost: Resolve = (host) =>
  new Promise((resolve, reject) => {
    lookup(host, { all: true }, (error, found) => (error ? reject(error) : resolve(found)));
  });

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.name === 'TimeoutError') return 'timeout';
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]*$/.test(code) ? code.toLowerCase() : 'broken';
}
