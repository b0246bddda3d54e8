/** Tells trouble with Redis from a bug of ours: the first is waited out, and costs no call an attempt. */

const redisErrors = new Set(['ReplyError', 'MaxRetriesPerRequestError', 'ClusterAllFailedError']);
const redisMessages =
  /^Command timed out|Connection is closed|enableOfflineQueue|ECONNREFUSED|ECONNRESET|EPIPE/;

/**
 * True for what ioredis throws when Redis does not answer or refuses, and for an attempt whose time ran out
 * while its mark was being stored.
 */
export function isRedisTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return redisErrors.has(error.name) || redisMessages.test(error.message) || error.name === 'TimeoutError';
}
