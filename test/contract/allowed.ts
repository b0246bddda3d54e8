/**
 * The allowed outcomes of each kind of exchange, by the operation's effect (docs/in-doubt.md). Independent of every
 * `classify`. A test checks that `faultCases` has every kind of fault that the simulator knows.
 */
import type { Health } from '@recloser/runtime/values/health';
import type { Fault } from '@recloser/simulator/faults';
import type { Effect, Outcome, RequestedHold } from '@recloser/upstreams/contract/upstream';
import { expect } from 'vitest';

/** An outcome in short: its kind, the hold it requests, and the upstream's health. */
type Verdict =
  | 'done up'
  | `retry ${Health}`
  | `snooze ${RequestedHold['kind']} unknown`
  | `reject ${'up' | 'unknown'}`
  | `in_doubt ${Health}`;

/** The allowed outcomes by effect. */
export type Allowed = Readonly<Record<Effect, readonly Verdict[]>>;

export type FaultCase = {
  readonly title: string;
  readonly fault: Fault;
  readonly allowed: Allowed;
  /** The upstream may have done the work before it failed. */
  readonly mayApply?: true;
};

const every = (...verdicts: Verdict[]): Allowed => ({
  read: verdicts,
  idempotent: verdicts,
  unsafe: verdicts,
});

export const worked: Allowed = every('done up');

/** Network errors, timeouts, 5xx, 408, 425, unreadable answers: nothing proves whether the work was done. */
export const noProof: Allowed = {
  read: ['retry down'],
  idempotent: ['retry down', 'in_doubt down'],
  unsafe: ['in_doubt down'],
};

/** Nothing was sent: every operation is safe to repeat. */
export const notSent: Allowed = every('retry down');

/** The worker gave up. This shows nothing about the upstream. */
export const givenUp: Allowed = {
  read: ['retry unknown'],
  idempotent: ['retry unknown', 'in_doubt unknown'],
  unsafe: ['in_doubt unknown'],
};

/** 429: refused before any work, so even an unsafe call may be repeated. */
const comeLater: Allowed = every('snooze rate-limit unknown');

/** 503 with `Retry-After`: a pause, but the server may have done the work first. */
const comeLaterIfSafe: Allowed = {
  read: ['snooze rate-limit unknown'],
  idempotent: ['snooze rate-limit unknown', 'in_doubt unknown'],
  unsafe: ['in_doubt unknown'],
};

/** 4xx and `ok: 0`: the call will never work. */
const neverWillWork: Allowed = every('reject up');

/** 401 and 403 that persist after a sign-in: a sign-in hold, or a rejected call. Not a failure of the upstream. */
const notAllowed: Allowed = every('snooze sign-in unknown', 'reject up', 'reject unknown');

/** Our cookies are too large for an upstream with cookies. For others it is an error page. */
const cookiesTooLarge: Allowed = {
  read: ['snooze sign-in unknown', 'retry down'],
  idempotent: ['in_doubt unknown', 'in_doubt down'],
  unsafe: ['in_doubt unknown', 'in_doubt down'],
};

/** A login page in answer to a write, which may have been done. */
export const loginPageInstead: Allowed = {
  read: ['done up'],
  idempotent: ['in_doubt unknown'],
  unsafe: ['in_doubt unknown'],
};

/** A sign-in that needs a person. */
export const personNeeded: Allowed = every('snooze sign-in unknown');

/** The sign-in before the call failed, so the call was not sent: it is retried or waits, and is never in doubt. */
export const signInFailed: Allowed = every(
  ...(['done up', 'retry down', 'retry unknown'] as const),
  ...(['snooze rate-limit unknown', 'snooze sign-in unknown'] as const),
);

/** Longer than the deadline of any attempt. */
export const tooLongMs = 100;

const broken = (title: string, fault: Fault): FaultCase => ({
  title,
  fault,
  allowed: noProof,
  mayApply: true,
});

/** Every fault. The suite adds the `operation`. */
export const faultCases: readonly FaultCase[] = [
  ...[500, 502, 503, 504, 408, 425].map((status) => broken(`status ${status}`, { kind: 'status', status })),
  { title: 'status 429', fault: { kind: 'status', status: 429 }, allowed: comeLater },
  {
    title: 'status 429 with Retry-After',
    fault: { kind: 'status', status: 429, retryAfterSeconds: 7 },
    allowed: comeLater,
  },
  {
    title: 'status 503 with Retry-After',
    fault: { kind: 'status', status: 503, retryAfterSeconds: 7 },
    allowed: comeLaterIfSafe,
    mayApply: true,
  },
  ...[400, 404, 409, 422].map((status) => ({
    title: `status ${status}`,
    fault: { kind: 'status', status } as const,
    allowed: neverWillWork,
  })),
  ...[401, 403].map((status) => ({
    title: `status ${status} for ever`,
    fault: { kind: 'status', status } as const,
    allowed: notAllowed,
  })),
  { title: 'a short latency', fault: { kind: 'latency', ms: 30 }, allowed: worked },
  broken('a latency longer than the attempt', { kind: 'latency', ms: tooLongMs }),
  broken('an answer that comes too late', { kind: 'latency', ms: tooLongMs, afterApply: true }),
  broken('a reset', { kind: 'reset' }),
  broken('a hang', { kind: 'hang' }),
  broken('a hang that ends in a reset', { kind: 'hang', ms: 30 }),
  broken('a page instead of an answer', { kind: 'html' }),
  ...[400, 403, 404, 405, 502].map((status) =>
    broken(`a page with status ${status}`, { kind: 'html', status }),
  ),
  {
    title: 'a page with status 431',
    fault: { kind: 'html', status: 431 },
    allowed: cookiesTooLarge,
    mayApply: true,
  },
  { title: 'a redirect of the request itself', fault: { kind: 'status', status: 307 }, allowed: notSent },
  broken('a redirect elsewhere', { kind: 'status', status: 302 }),
  broken('an empty answer', { kind: 'empty' }),
  broken('half an answer', { kind: 'truncate' }),
  broken('a connection cut in mid-answer', { kind: 'truncate', abort: true }),
  broken('JSON that is none', { kind: 'bad-json' }),
  { title: 'its own no', fault: { kind: 'not-ok' }, allowed: neverWillWork },
  broken('work done after the client gave up', { kind: 'late-commit', ms: 30 }),
  broken('no capacity (503)', { kind: 'capacity', limit: 0, status: 503 }),
  { title: 'no capacity (429)', fault: { kind: 'capacity', limit: 0, status: 429 }, allowed: comeLater },
  {
    title: 'too many in a second',
    fault: { kind: 'rate', perSecond: 0, status: 429, retryAfterSeconds: 3 },
    allowed: comeLater,
  },
];

/** Faults that also make sense after the work was done. */
export const faultCasesAfterWork: readonly FaultCase[] = faultCases
  .filter(({ mayApply, fault }) => mayApply && !('afterApply' in fault))
  .map((one) => ({
    ...one,
    title: `${one.title}, with the work done`,
    fault: { ...one.fault, afterApply: true } as Fault,
  }));

/** Fails unless the outcome is allowed and has the form that the contract requires. */
export function expectAllowed(outcome: Outcome, effect: Effect, allowed: Allowed): void {
  expect(allowed[effect], JSON.stringify(outcome)).toContain(verdictOf(outcome));
  expectWellFormed(outcome);
}

function verdictOf(outcome: Outcome): string {
  const hold = outcome.kind === 'snooze' ? [outcome.hold?.kind ?? 'local'] : [];
  return [outcome.kind, ...hold, outcome.health].join(' ');
}

/** Checks what holds for every outcome. */
export function expectWellFormed(outcome: Outcome): void {
  const shown = JSON.stringify(outcome);
  if (outcome.kind === 'done') {
    expect(outcome.health, shown).toBe('up');
    return;
  }
  expect(outcome.code, shown).toMatch(/^[a-z][a-z_]*$/);
  expect(outcome.message, shown).toMatch(/\S/);
  if (outcome.kind !== 'snooze' || outcome.hold === null) return;
  expect(outcome.hold.reason, shown).toMatch(/\S/);
  if (outcome.hold.kind !== 'rate-limit') return;
  expect(outcome.hold.delayMs, shown).toBeGreaterThanOrEqual(1_000);
  expect(outcome.hold.delayMs, shown).toBeLessThanOrEqual(600_000);
}
