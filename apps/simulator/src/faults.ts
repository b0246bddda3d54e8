/**
 * The fault plan of one simulated upstream: which requests fail, and how. `capacity` and `rate` are applied first, the
 * other faults in the plan's order: latencies add up, gates hold, and the first other fault that fires wins. The same
 * seed and order of requests give the same failures.
 */
import { expiryStyles } from '@recloser/upstreams/simulation/simulation';
import { z } from 'zod';
import { Gate } from './gate.ts';

const ms = z.int().min(0).max(600_000);
const status = z.int().min(200).max(599);

/** The schema of one fault for an upstream with these operations. `hasRefusal` allows `not-ok`. */
export function faultSchema(operations: readonly string[], hasRefusal: boolean) {
  const aimed = {
    operation: z.enum(operations as [string, ...string[]]).optional(),
    /** Only requests with a valid session (true) or an expired one (false). */
    signedIn: z.boolean().optional(),
    probability: z.number().min(0).max(1).optional(),
    times: z.int().min(0).optional(),
  };
  const common = { ...aimed, afterApply: z.boolean().optional() };
  const retryAfterSeconds = z.int().min(0).max(86_400).optional();
  return z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('status'), status, retryAfterSeconds, ...common }),
    z.strictObject({ kind: z.literal('latency'), ms, ...common }),
    z.strictObject({ kind: z.literal('gate'), ...common }),
    z.strictObject({ kind: z.literal('reset'), ...common }),
    z.strictObject({ kind: z.literal('hang'), ms: ms.optional(), ...common }),
    z.strictObject({ kind: z.literal('html'), status: status.optional(), ...common }),
    z.strictObject({ kind: z.literal('empty'), ...common }),
    z.strictObject({ kind: z.literal('truncate'), abort: z.boolean().optional(), ...common }),
    z.strictObject({ kind: z.literal('bad-json'), ...common }),
    z
      .strictObject({ kind: z.literal('not-ok'), ...common })
      .refine(() => hasRefusal, { path: ['kind'], message: 'Not supported by this upstream' }),
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

/** A fault that only delays a request. */
type Waiting = Extract<Fault, { kind: 'latency' | 'gate' }>;

/** A fault that ends a request after its admission. */
export type Ending = Exclude<Fault, Waiting | Refusal>;

/** A fault that refuses a request before any work. */
export type Refusal = Extract<Fault, { kind: 'capacity' | 'rate' }>;

/** A delay, and the gate that holds the request after it. */
export type Wait = { readonly ms: number; readonly gate: Gate | null };

/** What happens to one request. */
export type Verdict = {
  readonly refusal: Refusal | null;
  readonly ending: Ending | null;
  /** The wait before the work. */
  readonly before: Wait;
  /** The wait between work and answer. */
  readonly after: Wait;
  /** Releases the request's place. Idempotent. */
  leave(): void;
};

/** A request as the plan sees it. `session` is `none` for the steps of a sign-in, which need no session. */
export type Arrival = {
  readonly operation: string;
  readonly session: 'living' | 'over' | 'none';
  readonly nowMs: number;
};

type Rule = { fault: Fault; left: number; fired: number; readonly admittedMs: number[] };

const noWait: Wait = { ms: 0, gate: null };

/** The faults of one upstream, and its requests in progress. */
export class FaultPlan {
  #gate = new Gate();
  #rules: Rule[] = [];
  #random = seededRandom(1);
  readonly #working = new Map<string, number>();
  #workingTotal = 0;

  get gate(): Gate {
    return this.#gate;
  }

  /** Replaces the plan and releases the requests that the old plan held. */
  replace(faults: readonly Fault[], seed = 1): void {
    this.#gate.open();
    this.#gate = new Gate();
    this.#random = seededRandom(seed);
    this.#rules = faults.map((fault) => ({
      fault,
      left: fault.times ?? Number.POSITIVE_INFINITY,
      fired: 0,
      admittedMs: [],
    }));
  }

  /** The plan with the remaining `times`, how often each fault has fired, and the number of held requests. */
  view(): { faults: Fault[]; fired: number[]; held: number } {
    return {
      faults: this.#rules.map(({ fault, left }) =>
        fault.times === undefined ? fault : { ...fault, times: left },
      ),
      fired: this.#rules.map((rule) => rule.fired),
      held: this.#gate.held,
    };
  }

  /** Decides about one request. Call `leave()` when the upstream has finished with it. */
  admit(arrival: Arrival): Verdict {
    for (const rule of this.#rules) {
      const { fault } = rule;
      if ((fault.kind === 'capacity' || fault.kind === 'rate') && this.#fires(rule, arrival))
        return refused(fault);
    }
    let [before, after] = [noWait, noWait];
    let ending: Ending | null = null;
    for (const rule of this.#rules) {
      const { fault } = rule;
      if (fault.kind === 'rate' && aimsAt(fault, arrival)) rule.admittedMs.push(arrival.nowMs);
      if (fault.kind === 'capacity' || fault.kind === 'rate') continue;
      const waits = fault.kind === 'latency' || fault.kind === 'gate';
      if ((ending !== null && !waits) || !this.#fires(rule, arrival)) continue;
      if (!waits) ending = fault;
      else if (fault.afterApply) after = this.#longer(after, fault);
      else before = this.#longer(before, fault);
    }
    const leave = this.#enter(arrival.operation);
    return { refusal: null, ending, before, after, leave };
  }

  /** Whether the fault fires. Counts it if it does. */
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

  #longer(wait: Wait, fault: Waiting): Wait {
    return fault.kind === 'gate' ? { ...wait, gate: this.#gate } : { ...wait, ms: wait.ms + fault.ms };
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
  const { session } = arrival;
  if (session === 'none' && (fault.kind === 'expired' || fault.kind === 'not-ok')) return false;
  if (fault.signedIn !== undefined && session !== (fault.signedIn ? 'living' : 'over')) return false;
  return fault.operation === undefined || fault.operation === arrival.operation;
}

function refused(refusal: Refusal): Verdict {
  return { refusal, ending: null, before: noWait, after: noWait, leave: () => {} };
}

function admittedLately(rule: Rule, nowMs: number): number {
  const firstKept = rule.admittedMs.findIndex((atMs) => atMs > nowMs - 1000);
  rule.admittedMs.splice(0, firstKept === -1 ? rule.admittedMs.length : firstKept);
  return rule.admittedMs.length;
}

/** Returns a seeded generator of numbers in [0, 1) (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
