/** Redis keys. All keys of one upstream share a hash tag, so a script can use several of them on a Redis Cluster. */

/** The common prefix of an upstream's keys, such as `recloser:{crossmark}`. */
export function upstreamRoot(prefix: string, upstream: string): string {
  return `${prefix}:{${upstream}}`;
}

/** Name and key prefix of the BullMQ queue that holds an upstream's calls. */
export function queueOptions(prefix: string, upstream: string): { name: string; prefix: string } {
  return { name: upstream, prefix: upstreamRoot(prefix, upstream) };
}

/** Sorted set of the calls in doubt: call id → time in ms. BullMQ keeps them in its failed set. */
export function inDoubtKey(root: string): string {
  return `${root}:in-doubt`;
}

/** Record of an idempotency key. `digest` is a SHA-256 in hex. */
export function idempotencyKey(prefix: string, digest: string): string {
  return `${prefix}:idempotency:{${digest}}`;
}

/** Sorted set of the calls with a deadline: call id → `expiresAt` in ms. */
export function deadlinesKey(root: string): string {
  return `${root}:deadlines`;
}

/** Finish time in ms of the last failed call that was trimmed. */
export function failedTrimmedKey(root: string): string {
  return `${root}:failed-trimmed`;
}

/** Marks an id as stored, even after its job has been removed. */
export function storedKey(root: string, id: string): string {
  return `${root}:stored:${id}`;
}

/** Hash of the calls that can answer a post without an idempotency key. See `write/same-wish.ts`. */
export function wishesKey(root: string): string {
  return `${root}:wishes`;
}

/** Sorted set of the fields of `wishesKey`: digest → time of the next cleanup in ms. */
export function wishesDueKey(root: string): string {
  return `${root}:wishes-due`;
}

/** Sorted set of the calls with a callback: call id → announced finish time in ms, 0 for none. */
export function callbacksKey(root: string): string {
  return `${root}:callbacks`;
}
