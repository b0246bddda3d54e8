/**
 * Sends one callback: a single POST to a host of the allow-list.
 *
 * Always true: no redirect is followed; the connection goes only to an address that was checked, the one that
 * was resolved for this very connection, so a name that changes its mind between check and use gains nothing;
 * the whole exchange has one time limit; what the receiver answers is thrown away unread beyond a small part.
 */
import { type LookupAddress, lookup } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { type CallbackHosts, hostOf, isAllowedAddress } from '@recloser/calls/callback/hosts';
import { retryAfterMs } from '@recloser/runtime/values/retry-after';

/** What one exchange showed. `reason` is short and holds nothing the receiver sent. */
export type SendResult =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfterMs: number | null }
  | { readonly kind: 'unreachable'; readonly reason: string }
  /** The name leads only to addresses that are not allowed. */
  | { readonly kind: 'forbidden-address' };

/** Resolves a name to addresses; replaced in tests only. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

export type SendOptions = {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly hosts: CallbackHosts;
  readonly timeoutMs: number;
  /** Aborted when the worker stops; rejects then. */
  readonly signal: AbortSignal;
  readonly resolve?: Resolve;
};

class ForbiddenAddress extends Error {
  readonly code = 'forbidden_address';
}

const answerMaxBytes = 64 * 1024;
const maxHeaderSize = 16 * 1024;

/** Sends it. Rejects only with the signal's reason. */
export async function sendCallback(options: SendOptions): Promise<SendResult> {
  const host = hostOf(options.url);
  if (isIP(host) !== 0 && !isAllowedAddress(options.hosts, host, host)) return { kind: 'forbidden-address' };
  try {
    return await exchange(options, host);
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof ForbiddenAddress) return { kind: 'forbidden-address' };
    return { kind: 'unreachable', reason: reasonOf(error) };
  }
}

function exchange(options: SendOptions, host: string): Promise<SendResult> {
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
    // Callbacks are rare: a fresh connection each saves guessing whether a kept one still lives.
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
    // The status line is the verdict, however the rest of the answer goes.
    response.on('error', () => undefined);
    response.once('close', () => resolve({ kind: 'answered', status, retryAfterMs: pauseMs }));
  });
  request.end(bytes);
  return promise;
}

/** Node connects to what this returns and to nothing else; it is not asked for a literal address. */
function checkedLookup({ hosts, resolve = resolveHost }: SendOptions, host: string): LookupFunction {
  return (_name, { all }, done) => {
    resolve(host).then(
      (found) => {
        const allowed = found.filter(({ address }) => isAllowedAddress(hosts, host, address));
        const [first] = allowed;
        if (!first) done(new ForbiddenAddress('the name leads to no allowed address'), '', 0);
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
