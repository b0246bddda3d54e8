/**
 * Classifies errors of Redis writes: certainly refused, or unknown. Every error that is not a known refusal is unknown,
 * because "nothing was stored" must always be true.
 */

/** `refused`: Redis did not execute the command. `unknown`: it may have. */
export type StoreFailure = { readonly kind: 'refused' | 'unknown'; readonly error: Error };

const neverSent =
  /Stream isn't writeable and enableOfflineQueue|isn't ready and enableOfflineQueue|ECONNREFUSED|ENOTFOUND/;
const refusal =
  /^(OOM|MISCONF|READONLY|LOADING|NOAUTH|NOPERM|WRONGPASS|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|BUSY|ERR)\b/;

/** Classifies an error that ioredis or BullMQ threw for a write. */
export function classifyStoreError(cause: unknown): StoreFailure {
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const refused =
    neverSent.test(error.message) || (error.name === 'ReplyError' && refusal.test(error.message));
  return { kind: refused ? 'refused' : 'unknown', error };
}
