/** The worker's waits and limits, in milliseconds unless stated otherwise. Tests shorten them. */

export type Timings = {
  /**
   * When an ambiguous write is read back, counted from the moment it became ambiguous. At least two. The last value must
   * exceed the time that the upstream may take to apply a request after our timeout. See docs/in-doubt.md.
   */
  readonly readBackWaitsMs: readonly number[];
  /** Bounds of a `rate-limit` hold. */
  readonly rateLimitMinMs: number;
  readonly rateLimitMaxMs: number;
  /** Share of the delay that is added at random, so that holds do not end together. */
  readonly rateLimitJitter: number;
  /** Delay, with jitter, of a call that cannot run now although the queue is not paused. */
  readonly stepAsideMs: number;
  /** Bounds of the delay of a call that this worker cannot make. */
  readonly leaveMinMs: number;
  readonly leaveMaxMs: number;
  /** How long such a call blocks its slot. Must be below `leaveMinMs` and below the renewal interval of the lock. */
  readonly leaveRestMs: number;
  /** How long a worker is not ready after it fetched such a call. */
  readonly leftRecentlyMs: number;
  /** Interval, with jitter, of the check of the other workers' addresses. */
  readonly addressLookMs: number;
  /** Shortest delay of a callback that cannot be sent now. It grows with each delay. */
  readonly putOffMs: number;
  /** Delay of a callback whose host has all of its slots taken. */
  readonly hostBusyMs: number;
  /** Interval, with jitter, of the check whether this process's credentials can end a `sign-in` hold. */
  readonly signInLookMs: number;
  /** Number of failed trials that are not charged to a call. */
  readonly freeTrials: number;
  /** Number of failed read-backs in a row after which a person decides. */
  readonly unreadableLimit: number;
  /** Number of workers lost in a row, with no progress in between, after which a call ends. */
  readonly crashLoopStalls: number;
  /** Duration of BullMQ's lock on a running call: the least time until another worker takes a dead worker's calls. */
  readonly lockMs: number;
  /** Interval of the check for stalled calls. */
  readonly stalledCheckMs: number;
  /** Longest blocking fetch on an empty queue. */
  readonly blockMs: number;
  /** A fetch loop without an answer for this long is not ready. Must exceed BullMQ's limit of 10 s per blocking fetch. */
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

/** `ms` ± up to 50 %. */
export function jittered(ms: number, random: () => number = Math.random): number {
  return Math.max(1, Math.round(ms * (0.5 + random())));
}
