/** What an abort signal means here: whose time is up, and how to stop waiting without stopping the work. */

/**
 * Whether an aborted signal says "time is up" (a reason named `TimeoutError`, as `AbortSignal.timeout` gives)
 * rather than "the caller changed its mind". Only the first says anything about the upstream.
 */
export function abortCause(signal: AbortSignal): 'timeout' | 'aborted' {
  const reason: unknown = signal.reason;
  return reason instanceof Error && reason.name === 'TimeoutError' ? 'timeout' : 'aborted';
}

/** The promise's result, or a rejection with the signal's reason as soon as it aborts. The promise runs on. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
