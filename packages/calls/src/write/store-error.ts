/**
 * What an error of a Redis command says about the command: certainly not carried out, or nobody can know.
 * Anything not known to be a refusal counts as unknown: promising that nothing is stored must be true.
 */

/** `refused`: Redis did not carry the command out. `unknown`: it may have. */
export type StoreFailure = { readonly kind: 'refused' | 'unknown'; readonly error: Error };

const neverSent =
  /Stream isn't writeable and enableOfflineQueue|isn't ready and enableOfflineQueue|ECONNREFUSED|ENOTFOUND/;
const refusal =
  /^(OOM|MISCONF|READONLY|LOADING|NOAUTH|NOPERM|WRONGPASS|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|BUSY|ERR)\b/;

/** Judges an error thrown by ioredis or BullMQ for one write. */
export function classifyStoreError(cause: unknown): StoreFailure {
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const refused =
    neverSent.test(error.message) || (error.name === 'ReplyError' && refusal.test(error.message));
  return { kind: refused ? 'refused' : 'unknown', error };
}
