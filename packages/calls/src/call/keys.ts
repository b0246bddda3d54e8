/** Redis keys. All keys of one upstream share a hash tag, so a script can use several of them on a Redis Cluster. */

/** The common start of an upstream's keys, e.g. `recloser:{crossmark}`. */
export function upstreamRoot(prefix: string, upstream: string): string {
  return `${prefix}:{${upstream}}`;
}

/** Name and key prefix of the BullMQ queue that holds an upstream's calls. */
export function queueOptions(prefix: string, upstream: string): { name: string; prefix: string } {
  return { name: upstream, prefix: upstreamRoot(prefix, upstream) };
}

/** Sorted set of the calls a person must judge: call id → time in ms. BullMQ counts them as failed. */
export function inDoubtKey(root: string): string {
  return `${root}:in-doubt`;
}

/** The record that makes one idempotency key one call. `digest` is a SHA-256 in hex. */
export function idempotencyKey(prefix: string, digest: string): string {
  return `${prefix}:idempotency:{${digest}}`;
}

/** Sorted set of the calls that must not wait for ever: call id → `expiresAt` in ms. */
export function deadlinesKey(root: string): string {
  return `${root}:deadlines`;
}

/** Up to which time of their end, in ms, failed calls were removed last. */
export function failedTrimmedKey(root: string): string {
  return `${root}:failed-trimmed`;
}

/** Tells that a call was stored under this id, also once its job is gone. */
export function storedKey(root: string, id: string): string {
  return `${root}:stored:${id}`;
}

/** Hash of the calls that a post without an idempotency key may be answered with: see `write/same-wish.ts`. */
export function wishesKey(root: string): string {
  return `${root}:wishes`;
}

/** Sorted set of the fields of `wishesKey`: digest → when to look whether it is still needed, in ms. */
export function wishesDueKey(root: string): string {
  return `${root}:wishes-due`;
}

/** Sorted set of the calls that want a callback. */
export function callbacksKey(root: string): string {
  return `${root}:callbacks`;
}
