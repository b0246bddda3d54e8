/**
 * Design section 4 as a table: what an attempt may show for each fault an upstream can have, by the operation's
 * effect. Written from the design, knowing nothing of any `classify`.
 *
 * Always true: every kind of fault that the simulator knows is in `faultCases` (a test holds that).
 */
import type { Fault } from '@recloser/simulator/faults';
import type { Effect, Health, Outcome } from '@recloser/upstreams/upstream';
import { expect } from 'vitest';

type Kind = Outcome['kind'];

/** What is allowed: kinds by effect, and what the attempt may say about the upstream's health. */
export type Allowed = {
  readonly kinds: Readonly<Record<Effect, readonly Kind[]>>;
  readonly health: Readonly<Partial<Record<Kind, readonly Health[]>>>;
  readonly hold?: 'rate-limit' | 'sign-in';
};

/** One fault, what it means, and whether the attempt runs out of time on it. */
export type FaultCase = {
  readonly title: string;
  readonly fault: Fault;
  readonly allowed: Allowed;
  /** The upstream never answers within the attempt's time: the test gives the attempt little of it. */
  readonly timesOut?: true;
  /** The upstream may have done the work before it failed. */
  readonly mayApply?: true;
};

const every = (...kinds: Kind[]) => ({ read: kinds, idempotent: kinds, unsafe: kinds });

/** Network errors, timeouts, 5xx, 408, 425, unreadable answers: no proof either way. */
export const noProof: Allowed = {
  kinds: { read: ['retry'], idempotent: ['retry', 'in_doubt'], unsafe: ['in_doubt'] },
  health: { retry: ['down'], in_doubt: ['down'] },
};

/** 429: a refusal at the door. Nothing was done, so even an unsafe call may come back. */
const comeLater: Allowed = {
  kinds: every('snooze'),
  health: { snooze: ['up', 'unknown'] },
  hold: 'rate-limit',
};

/** 503 with `Retry-After`: a pause, but a server can do the work and then say so. */
const comeLaterIfSafe: Allowed = {
  kinds: { read: ['snooze'], idempotent: ['snooze', 'in_doubt'], unsafe: ['in_doubt'] },
  health: { snooze: ['up', 'unknown'], in_doubt: ['down', 'unknown'] },
  hold: 'rate-limit',
};

/** 4xx and `ok: 0`: it will never work. */
const neverWillWork: Allowed = { kinds: every('reject'), health: { reject: ['up'] } };

/** 401 and 403 that no sign-in mends: a person looks, or the call is refused. Not the upstream's failure. */
const notAllowed: Allowed = {
  kinds: every('snooze', 'reject'),
  health: { snooze: ['up', 'unknown'], reject: ['up', 'unknown'] },
  hold: 'sign-in',
};

/** Nothing left the machine: safe to repeat whatever it does. */
export const notSent: Allowed = { kinds: every('retry'), health: { retry: ['down'] } };

/** The worker itself gave up: says nothing about the upstream. */
export const givenUp: Allowed = {
  kinds: { read: ['retry'], idempotent: ['retry', 'in_doubt'], unsafe: ['in_doubt'] },
  health: { retry: ['unknown'], in_doubt: ['unknown'] },
};

/** It worked. */
export const worked: Allowed = { kinds: every('done'), health: { done: ['up'] } };

/** A sign-in that needs a person. */
export const personNeeded: Allowed = {
  kinds: every('snooze'),
  health: { snooze: ['unknown'] },
  hold: 'sign-in',
};

/**
 * Nothing of the call itself left, because the sign-in before it failed: comes back or waits, is never lost, and
 * is never in doubt.
 */
export const signInFailed: Allowed = {
  kinds: every('retry', 'snooze', 'done'),
  health: { retry: ['down', 'unknown'], snooze: ['up', 'unknown'], done: ['up'] },
};

const broken = (title: string, fault: Fault): FaultCase => ({
  title,
  fault,
  allowed: noProof,
  mayApply: true,
});
const silent = (title: string, fault: Fault): FaultCase => ({ ...broken(title, fault), timesOut: true });

/** Every fault. `operation` is left open: the suite aims it. */
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
  silent('a latency longer than the attempt', { kind: 'latency', ms: 20_000 }),
  silent('an answer that comes too late', { kind: 'latency', ms: 20_000, afterApply: true }),
  broken('a reset', { kind: 'reset' }),
  silent('a hang', { kind: 'hang' }),
  broken('a hang that ends in a reset', { kind: 'hang', ms: 30 }),
  broken('a page instead of an answer', { kind: 'html' }),
  broken('a page with status 502', { kind: 'html', status: 502 }),
  broken('an empty answer', { kind: 'empty' }),
  broken('half an answer', { kind: 'truncate' }),
  broken('a connection cut in mid-answer', { kind: 'truncate', abort: true }),
  broken('JSON that is none', { kind: 'bad-json' }),
  { title: 'its own no', fault: { kind: 'not-ok' }, allowed: neverWillWork },
  silent('work done after the client gave up', { kind: 'late-commit', ms: 30 }),
  broken('no capacity (503)', { kind: 'capacity', limit: 0, status: 503 }),
  { title: 'no capacity (429)', fault: { kind: 'capacity', limit: 0, status: 429 }, allowed: comeLater },
  {
    title: 'too many in a second',
    fault: { kind: 'rate', perSecond: 0, status: 429, retryAfterSeconds: 3 },
    allowed: comeLater,
  },
];

/** Fails unless the outcome is one the design allows, in the form the contract gives it. */
export function expectAllowed(outcome: Outcome, effect: Effect, allowed: Allowed): void {
  const shown = JSON.stringify(outcome);
  expect(allowed.kinds[effect], shown).toContain(outcome.kind);
  expect(allowed.health[outcome.kind] ?? [], shown).toContain(outcome.health);
  expectWellFormed(outcome);
  if (outcome.kind !== 'snooze') return;
  expect(outcome.hold.kind, shown).toBe(allowed.hold);
}

/** What holds for every outcome there is. */
export function expectWellFormed(outcome: Outcome): void {
  const shown = JSON.stringify(outcome);
  if (outcome.kind === 'done') {
    expect(outcome.health, shown).toBe('up');
    return;
  }
  expect(outcome.code, shown).toMatch(/^[a-z][a-z_]*$/);
  expect(outcome.message, shown).toMatch(/\S/);
  if (outcome.kind !== 'snooze') return;
  expect(outcome.hold.reason, shown).toMatch(/\S/);
  if (outcome.hold.kind !== 'rate-limit') return;
  expect(outcome.hold.delayMs, shown).toBeGreaterThanOrEqual(1_000);
  expect(outcome.hold.delayMs, shown).toBeLessThanOrEqual(600_000);
}
