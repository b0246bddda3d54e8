/** Distinguishes Redis failures from bugs of ours. A Redis failure does not charge an attempt. */

/** The sending mark is not on enough replicas, so the write was not sent. */
export class ReplicasBehind extends Error {
  override readonly name = 'ReplicasBehind';

  constructor() {
    super('Too few Redis replicas have the sending mark of this write, so it was not sent.');
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
 * True for the errors of ioredis when Redis does not answer or refuses a command, and for an attempt that timed out while
 * its mark was being stored.
 */
export function isRedisTrouble(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return redisErrors.has(error.name) || redisMessages.test(error.message) || error.name === 'TimeoutError';
}
