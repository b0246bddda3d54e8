/** Every wait the worker chooses itself, in one place, so that tests can shorten them. All in milliseconds. */

export type Timings = {
  /**
   * When an ambiguous write is read back, counted from the moment it became ambiguous; at least two. The last one
   * must come later than the upstream may still apply a request whose sender has given up: see docs/in-doubt.md.
   */
  readonly readBackWaitsMs: readonly number[];
  /** Bounds and jitter of a `rate-limit` hold, design section 4. */
  readonly rateLimitMinMs: number;
  readonly rateLimitMaxMs: number;
  /** Share of the delay that is added at random, so that a fleet's holds do not end together. */
  readonly rateLimitJitter: number;
  /** About how long a call steps aside when it may not run although the queue is not paused. */
  readonly stepAsideMs: number;
  /** Bounds of how long a call steps aside that this worker cannot understand, design section 4. */
  readonly leaveMinMs: number;
  readonly leaveMaxMs: number;
  /** How long the place of such a call takes no other; below the shortest step aside and the lock's renewal. */
  readonly leaveRestMs: number;
  /** How long a worker is not ready after it met such a call. */
  readonly leftRecentlyMs: number;
  /** About how often the addresses of the other workers are looked at. */
  readonly addressLookMs: number;
  /** The shortest wait of a callback that may not be sent now; longer the more often that has happened. */
  readonly putOffMs: number;
  /** How long a callback waits for a place at a receiver that has all of its places taken. */
  readonly hostBusyMs: number;
  /** About how often a `sign-in` hold is looked at: it may be over with this process's credentials. */
  readonly signInLookMs: number;
  /** How many failed trials cost a call nothing, design section 5. */
  readonly freeTrials: number;
  /** After so many read-backs that did not work in a row a person decides. */
  readonly unreadableLimit: number;
  /** After so many workers lost in a row by one call, with nothing learned in between, it is ended. */
  readonly crashLoopStalls: number;
  /** Length of BullMQ's lock on a running call: how long a dead worker's calls stay untouched at least. */
  readonly lockMs: number;
  /** How often stalled calls are looked for. */
  readonly stalledCheckMs: number;
  /** Longest blocking fetch on an empty queue; the heartbeat of the fetch loop follows it. */
  readonly blockMs: number;
  /** A fetch loop that has not turned for so long is dead. Above BullMQ's own cap of 10 s per blocking fetch. */
  readonly fetchSilenceMs: number;
};

export const defaultTimings: Timings = {
  readBackWaitsMs: [2_000, 5_000, 15_000, 60_000],
  rateLimitMinMs: 1_000,
  rateLimitMaxMs: 600_000,
  rateLimitJitter: 0.1,
  stepAsideMs: 1_000,
  leaveMinMs: 1_000,
  leaveMaxMs: 5_000,
  leaveRestMs: 500,
  leftRecentlyMs: 60_000,
  addressLookMs: 30_000,
  putOffMs: 500,
  hostBusyMs: 1_000,
  signInLookMs: 10_000,
  freeTrials: 3,
  unreadableLimit: 30,
  crashLoopStalls: 5,
  lockMs: 10_000,
  stalledCheckMs: 4_000,
  blockMs: 3_000,
  fetchSilenceMs: 30_000,
};

/** A wait of `ms`, give or take up to half of it. */
export function jittered(ms: number, random: () => number = Math.random): number {
  return Math.max(1, Math.round(ms * (0.5 + random())));
}
