/**
 * The fault plan of one simulated upstream: which request fails, and how. Generic; knows no upstream.
 *
 * Always true: the two limits are asked first, at the door; then the others in the plan's order, where
 * latencies add up and the first other one that fires wins; with the same seed and the same order of requests the same ones fail.
 */
import { expiryStyles } from '@recloser/upstreams/simulation';
import { z } from 'zod';

const ms = z.int().min(0).max(600_000);
const status = z.int().min(200).max(599);

/** The schema of one fault for an upstream with these operations; `not-ok` only where the upstream has it. */
export function faultSchema(operations: readonly string[], hasRefusal: boolean) {
  const aimed = {
    operation: z.enum(operations as [string, ...string[]]).optional(),
    probability: z.number().min(0).max(1).optional(),
    times: z.int().min(0).optional(),
  };
  const common = { ...aimed, afterApply: z.boolean().optional() };
  const retryAfterSeconds = z.int().min(0).max(86_400).optional();
  return z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('status'), status, retryAfterSeconds, ...common }),
    z.strictObject({ kind: z.literal('latency'), ms, ...common }),
    z.strictObject({ kind: z.literal('reset'), ...common }),
    z.strictObject({ kind: z.literal('hang'), ms: ms.optional(), ...common }),
    z.strictObject({ kind: z.literal('html'), status: status.optional(), ...common }),
    z.strictObject({ kind: z.literal('empty'), ...common }),
    z.strictObject({ kind: z.literal('truncate'), abort: z.boolean().optional(), ...common }),
    z.strictObject({ kind: z.literal('bad-json'), ...common }),
    z
      .strictObject({ kind: z.literal('not-ok'), ...common })
      .refine(() => hasRefusal, { path: ['kind'], message: 'This upstream has no refusal with status 200' }),
    z.strictObject({ kind: z.literal('expired'), style: z.enum(expiryStyles), ...common }),
    z.strictObject({ kind: z.literal('late-commit'), ms, ...aimed }),
    z.strictObject({ kind: z.literal('capacity'), limit: z.int().min(0), status, ...aimed }),
    z.strictObject({
      kind: z.literal('rate'),
      perSecond: z.int().min(0),
      status,
      retryAfterSeconds,
      ...aimed,
    }),
  ]);
}

/** One fault, as `PUT /control/:upstream/faults` takes it. */
export type Fault = z.infer<ReturnType<typeof faultSchema>>;

/** A fault that ends a request; latencies and the two limits are dealt with before. */
export type Ending = Exclude<Fault, { kind: 'latency' | 'capacity' | 'rate' }>;

/** A refusal at the door: nothing is worked on. */
export type Refusal = Extract<Fault, { kind: 'capacity' | 'rate' }>;

/** What becomes of one request. `leave` gives its place back and is safe to call twice. */
export type Verdict = {
  readonly refusal: Refusal | null;
  readonly ending: Ending | null;
  /** Waits before the work and between work and answer. */
  readonly delayBeforeMs: number;
  readonly delayAfterMs: number;
  leave(): void;
};

/** A request as the plan sees it. `signingIn` requests are never told that they are signed out. */
export type Arrival = { readonly operation: string; readonly signingIn: boolean; readonly nowMs: number };

type Rule = { fault: Fault; left: number; fired: number; readonly admittedMs: number[] };

/** The faults of one upstream, and who is being worked on. */
export class FaultPlan {
  #rules: Rule[] = [];
  #random = seededRandom(1);
  readonly #working = new Map<string, number>();
  #workingTotal = 0;

  replace(faults: readonly Fault[], seed = 1): void {
    this.#random = seededRandom(seed);
    this.#rules = faults.map((fault) => ({
      fault,
      left: fault.times ?? Number.POSITIVE_INFINITY,
      fired: 0,
      admittedMs: [],
    }));
  }

  /** The plan with `times` counted down, and how often each fault has fired. */
  view(): { faults: Fault[]; fired: number[] } {
    return {
      faults: this.#rules.map(({ fault, left }) =>
        fault.times === undefined ? fault : { ...fault, times: left },
      ),
      fired: this.#rules.map((rule) => rule.fired),
    };
  }

  /** Decides one request. Must be followed by `leave()` when the upstream is done with it. */
  admit(arrival: Arrival): Verdict {
    for (const rule of this.#rules) {
      const { fault } = rule;
      if ((fault.kind === 'capacity' || fault.kind === 'rate') && this.#fires(rule, arrival))
        return refused(fault);
    }
    const delays = { before: 0, after: 0 };
    let ending: Ending | null = null;
    for (const rule of this.#rules) {
      const { fault } = rule;
      if (fault.kind === 'rate' && aimsAt(fault, arrival)) rule.admittedMs.push(arrival.nowMs);
      if (fault.kind === 'capacity' || fault.kind === 'rate') continue;
      if ((ending !== null && fault.kind !== 'latency') || !this.#fires(rule, arrival)) continue;
      if (fault.kind === 'latency') delays[fault.afterApply ? 'after' : 'before'] += fault.ms;
      else ending = fault;
    }
    const leave = this.#enter(arrival.operation);
    return { refusal: null, ending, delayBeforeMs: delays.before, delayAfterMs: delays.after, leave };
  }

  /** Asks one fault, and counts it when it fires. */
  #fires(rule: Rule, arrival: Arrival): boolean {
    const fires = this.#wants(rule, arrival);
    if (fires) {
      rule.left -= 1;
      rule.fired += 1;
    }
    return fires;
  }

  #wants(rule: Rule, arrival: Arrival): boolean {
    const { fault } = rule;
    if (rule.left <= 0 || !aimsAt(fault, arrival)) return false;
    if (fault.kind === 'capacity') {
      const working = fault.operation ? (this.#working.get(fault.operation) ?? 0) : this.#workingTotal;
      if (working < fault.limit) return false;
    }
    if (fault.kind === 'rate' && admittedLately(rule, arrival.nowMs) < fault.perSecond) return false;
    return fault.probability === undefined || this.#random() < fault.probability;
  }

  #enter(operation: string): () => void {
    this.#workingTotal += 1;
    this.#working.set(operation, (this.#working.get(operation) ?? 0) + 1);
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#workingTotal -= 1;
      this.#working.set(operation, (this.#working.get(operation) ?? 1) - 1);
    };
  }
}

function aimsAt(fault: Fault, arrival: Arrival): boolean {
  if (arrival.signingIn && (fault.kind === 'expired' || fault.kind === 'not-ok')) return false;
  return fault.operation === undefined || fault.operation === arrival.operation;
}

function refused(refusal: Refusal): Verdict {
  return { refusal, ending: null, delayBeforeMs: 0, delayAfterMs: 0, leave: () => {} };
}

function admittedLately(rule: Rule, nowMs: number): number {
  const firstKept = rule.admittedMs.findIndex((atMs) => atMs > nowMs - 1000);
  rule.admittedMs.splice(0, firstKept === -1 ? rule.admittedMs.length : firstKept);
  return rule.admittedMs.length;
}

/** Numbers in [0, 1) that a seed decides (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
