/** Tells trouble with Redis from a bug of ours: the first is waited out, and costs no call an attempt. */

/** The sending mark is not on enough replicas: the write was not sent. */
export class ReplicasBehind extends Error {
  override readonly name = 'ReplicasBehind';

  constructor() {
    super('Too few replicas of Redis have the mark of this write, so it was not sent.');
  }
}

const redisErrors = new Set([
  'ReplyError',
  'MaxRetriesPerRequestError',
  'ClusterAllFailedError',
  'ReplicasBehind',
]);
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
