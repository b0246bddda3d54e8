/**
 * Compares the scripts with a model, under random interleavings, clock steps and crashes. The model follows
 * docs/architecture.md ("The breaker"), not the scripts; where they differ, one is wrong.
 */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { clockLua, setClock } from '../test-kit/set-clock.ts';
import { FleetBreaker } from './fleet-breaker.ts';
import type { FleetReply } from './record.ts';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(inject('redisUrl'));
});
afterAll(() => redis.quit());

const policy = { failMax: 3, resetMs: 10_000, successesToClose: 4, quietMs: 1_000 };
const leaseMs = 5_000;
const silenceMs = 15_000;
const workerNames = ['a', 'b', 'c'] as const;
const capacity = 8;

type Worker = (typeof workerNames)[number];
type Ticket = { callId: string; worker: Worker; generation: number; era: number };

type Phase =
  | { state: 'closed'; streak: number }
  | { state: 'open'; retryAt: number }
  | { state: 'probing'; holder: Worker; leaseUntil: number; generation: number }
  | {
      state: 'ramp';
      permits: number;
      round: number;
      linear: boolean;
      successes: number;
      lastTrialAt: number;
    };

type Model = {
  now: number;
  phase: Phase;
  since: number;
  generation: number;
  era: number;
  trips: number;
  seenAt: Map<Worker, number>;
  aside: Map<Worker, number>;
  failing: Set<Worker>;
  permits: Map<string, number>;
};

const live = (m: Model) =>
  [...m.seenAt].filter(([id, at]) => m.now - at <= silenceMs && !m.aside.has(id)).map(([id]) => id);
const fleetSize = (m: Model) => Math.max(1, live(m).length * capacity);

/** Removes workers without a recent heartbeat, and with them whether they were set aside. */
function forgetSilent(m: Model): void {
  for (const [id, at] of m.seenAt) {
    if (m.now - at > silenceMs) {
      m.seenAt.delete(id);
      m.aside.delete(id);
    }
  }
}

function go(m: Model, phase: Phase): void {
  m.phase = phase;
  m.since = m.now;
  m.generation += 1;
  m.permits.clear();
}

function open(m: Model): void {
  if (m.phase.state === 'closed')
    m.trips = Math.max(0, m.trips - Math.floor((m.now - m.since) / policy.resetMs));
  m.trips += 1;
  go(m, { state: 'open', retryAt: m.now + policy.resetMs * Math.min(2 ** (m.trips - 1), 10) });
}

function close(m: Model, streak = 0): void {
  go(m, { state: 'closed', streak });
  m.failing.clear();
}

function ramp(m: Model, successes: number): void {
  m.phase = { state: 'ramp', permits: 1, round: 0, linear: false, successes, lastTrialAt: m.now };
}

const ops = {
  heartbeat: (m: Model, worker: Worker) => {
    m.seenAt.set(worker, m.now);
  },
  admit: (m: Model, worker: Worker, callId: string): boolean => {
    if (m.aside.has(worker)) return false;
    if (m.phase.state === 'closed') return true;
    if (m.phase.state !== 'ramp') return false;
    for (const [id, until] of m.permits) if (until <= m.now) m.permits.delete(id);
    if (m.permits.size >= m.phase.permits) return false;
    m.permits.set(callId, m.now + leaseMs);
    m.phase.lastTrialAt = m.now;
    return true;
  },
  failed: (m: Model, ticket: Ticket) => {
    m.failing.add(ticket.worker);
    if (ticket.generation !== m.generation || m.aside.has(ticket.worker)) return;
    if (m.phase.state === 'closed') {
      m.phase.streak += 1;
      if (m.phase.streak < policy.failMax) return;
      const alone =
        live(m).length >= 2 &&
        live(m).includes(ticket.worker) &&
        [...m.failing].every((id) => id === ticket.worker);
      if (!alone) return open(m);
      m.aside.set(ticket.worker, m.now + policy.resetMs);
      m.phase.streak = policy.failMax - 1;
    } else if (m.phase.state === 'ramp' && m.permits.delete(ticket.callId)) {
      if (m.phase.permits === 1) return open(m);
      if (ticket.era !== m.era) return;
      Object.assign(m.phase, { permits: Math.floor(m.phase.permits / 2), linear: true, round: 0 });
      m.era += 1;
    }
  },
  succeeded: (m: Model, ticket: Ticket) => {
    if (ticket.generation !== m.generation) return;
    if (m.phase.state === 'closed' && m.phase.streak > 0 && !m.aside.has(ticket.worker)) {
      m.phase.streak = 0;
      m.failing.clear();
    } else if (m.phase.state === 'ramp' && m.permits.delete(ticket.callId)) {
      const { phase } = m;
      phase.successes += 1;
      phase.round += 1;
      phase.lastTrialAt = m.now;
      if (phase.round < phase.permits) return;
      phase.round = 0;
      phase.permits = phase.linear ? phase.permits + 1 : phase.permits * 2;
      if (phase.permits > fleetSize(m)) close(m);
    }
  },
  beginTrial: (m: Model, worker: Worker, hasProbe: boolean): boolean => {
    const due = m.phase.state === 'open' && m.now >= m.phase.retryAt;
    const orphaned = m.phase.state === 'probing' && m.now >= m.phase.leaseUntil;
    if (!(due || orphaned) || m.aside.has(worker)) return false;
    go(m, { state: 'probing', holder: worker, leaseUntil: m.now + leaseMs, generation: m.generation + 1 });
    if (!hasProbe) ramp(m, 0);
    return true;
  },
  endProbe: (m: Model, generation: number, verdict: 'pass' | 'fail' | 'inconclusive') => {
    if (m.phase.state !== 'probing' || generation !== m.generation) return;
    if (verdict === 'pass') ramp(m, 1);
    else if (verdict === 'fail') open(m);
    else go(m, { state: 'open', retryAt: m.now + Math.min(policy.resetMs, 5_000) });
  },
  idle: (m: Model) => {
    if (m.phase.state === 'closed' || m.phase.state === 'open') return;
    for (const [id, until] of m.permits) if (until <= m.now) m.permits.delete(id);
    if (m.phase.state !== 'ramp' || m.permits.size > 0) return;
    const quiet = m.now - m.phase.lastTrialAt;
    const { successes } = m.phase;
    if (successes >= policy.successesToClose || (successes > 0 && quiet >= policy.quietMs)) close(m);
    else if (successes === 0 && quiet >= policy.resetMs) close(m, policy.failMax - 1);
  },
  comeBack: (m: Model, worker: Worker, works: boolean) => {
    const until = m.aside.get(worker);
    if (until === undefined || m.now < until) return;
    if (works) {
      m.aside.delete(worker);
      m.failing.delete(worker);
    } else m.aside.set(worker, m.now + policy.resetMs);
  },
};

const worker = fc.constantFrom(...workerNames);
const pick = fc.nat(1_000);
const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      op: fc.constant('admit' as const),
      worker,
      count: fc.constantFrom(1, 1, 2, 5, 20),
    }),
  },
  {
    weight: 16,
    arbitrary: fc.record({
      op: fc.constant('answer' as const),
      pick,
      count: fc.constantFrom(1, 1, 2, 5, 20),
      roll: fc.nat(99),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('lost' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('abandon' as const), pick }) },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('beginTrial' as const), worker, hasProbe: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('endProbe' as const),
      verdict: fc.constantFrom('pass' as const, 'pass' as const, 'fail' as const, 'inconclusive' as const),
      late: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('idle' as const) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('comeBack' as const), worker, works: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('heartbeat' as const), worker }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('wait' as const),
      ms: fc.constantFrom<number[]>(1, 400, 1_100, 5_000, 10_000, 16_000),
    }),
  },
);

/** `upPercent`: percentage of attempts that show the upstream as up. */
const scene = fc.record({ tripped: fc.boolean(), upPercent: fc.constantFrom(0, 30, 80, 97, 100) });

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/**
 * One run: every step goes to the scripts and to the model. Redis runs the scripts in the order of sending, so no step
 * waits for its reply. `agree` waits for all comparisons.
 */
class Run {
  readonly root = `model-${randomUUID()}:{up}`;
  readonly fleet = new FleetBreaker({ redis, root: this.root, policy, clock: clockLua });
  readonly model: Model = {
    now: 1_000_000,
    phase: { state: 'closed', streak: 0 },
    since: 1_000_000,
    generation: 0,
    era: 0,
    trips: 0,
    seenAt: new Map(),
    aside: new Map(),
    failing: new Set(),
    permits: new Map(),
  };
  readonly tickets: Ticket[] = [];
  readonly upPercent: number;
  readonly #answers: Promise<void>[] = [];
  calls = 0;

  constructor(upPercent: number) {
    this.upPercent = upPercent;
  }

  start(tripped: boolean): void {
    this.#sent(setClock(redis, this.root, this.model.now));
    for (const id of workerNames) this.do({ op: 'heartbeat', worker: id });
    // Writes the record, so that `since` is the same on both sides.
    this.#sent(this.fleet.probeNow('test', 'start'));
    if (!tripped) return;
    for (const id of workerNames) {
      this.do({ op: 'admit', worker: id, count: 1 });
      this.answer(0, false);
    }
    this.do({ op: 'wait', ms: policy.resetMs });
    this.do({ op: 'beginTrial', worker: 'a', hasProbe: false });
    expect(this.model.phase.state).toBe('ramp');
  }

  take(pick: number): Ticket | undefined {
    return this.tickets.splice(pick % Math.max(1, this.tickets.length), 1)[0];
  }

  answer(pick: number, up: boolean): void {
    const ticket = this.take(pick);
    if (!ticket) return;
    ops[up ? 'succeeded' : 'failed'](this.model, ticket);
    this.#sent(up ? this.fleet.succeeded(ticket) : this.fleet.failed(ticket, 'x'));
  }

  admit(worker: Worker): void {
    this.calls += 1;
    const callId = `call-${this.calls}`;
    const { generation, era } = this.model;
    const admitted = ops.admit(this.model, worker, callId);
    this.#sent(this.fleet.admit(callId, worker, leaseMs), (reply) => {
      const { breaker } = reply;
      expect({ ...breaker, admitted: reply.admitted }).toMatchObject({ admitted, generation, era });
    });
    if (admitted) this.tickets.push({ callId, worker, generation, era });
  }

  do(one: Step): void {
    const { fleet, model } = this;
    forgetSilent(model);
    switch (one.op) {
      case 'wait':
        model.now += one.ms;
        this.#sent(setClock(redis, this.root, model.now));
        return;
      case 'heartbeat': {
        ops.heartbeat(model, one.worker);
        const report = { host: 'h', pid: 1, startedAt: 0, active: 0, state: 'closed', generation: 0 };
        this.#sent(fleet.heartbeat({ ...report, id: one.worker, capacity }));
        return;
      }
      case 'admit':
        for (let i = 0; i < one.count; i += 1) this.admit(one.worker);
        return;
      case 'answer':
        for (let i = 0; i < one.count; i += 1)
          this.answer(one.pick, (one.roll + i * 37) % 100 < this.upPercent);
        return;
      case 'lost':
        this.take(one.pick);
        return;
      case 'abandon': {
        const ticket = this.take(one.pick);
        if (!ticket) return;
        if (ticket.generation === model.generation) model.permits.delete(ticket.callId);
        this.#sent(fleet.abandon(ticket));
        return;
      }
      case 'beginTrial': {
        const won = ops.beginTrial(model, one.worker, one.hasProbe);
        this.#sent(fleet.beginTrial(one.worker, leaseMs, one.hasProbe, null), (reply) =>
          expect(reply.won).toBe(won),
        );
        return;
      }
      case 'endProbe': {
        const generation = one.late ? model.generation - 1 : model.generation;
        ops.endProbe(model, generation, one.verdict);
        this.#sent(fleet.endProbe('a', generation, one.verdict, 'test'));
        return;
      }
      case 'idle':
        ops.idle(model);
        this.#sent(fleet.idle('a'));
        return;
      case 'comeBack':
        ops.comeBack(model, one.worker, one.works);
        this.#sent(fleet.comeBack(one.worker, one.works));
        return;
    }
  }

  /** Compares the current state with the model. */
  compare(): void {
    forgetSilent(this.model);
    const expected = wanted(this.model);
    this.#sent(this.fleet.snapshot(), (reply) => expect(seen(reply)).toEqual(expected));
  }

  /** Rejects with the first difference. */
  async agree(): Promise<void> {
    await Promise.all(this.#answers);
  }

  #sent<T>(answer: Promise<T>, check: (answer: T) => void = () => {}): void {
    const checked = answer.then(check);
    // `agree` rejects with this error. Until then it must not count as unhandled.
    checked.catch(() => {});
    this.#answers.push(checked);
  }
}

function seen({ breaker, holds, inFlight, aside }: FleetReply) {
  return {
    state: breaker.state,
    generation: breaker.generation,
    trips: breaker.trips,
    retryAt: breaker.retryAt,
    streak: breaker.state === 'closed' ? breaker.consecutiveFailures : null,
    permits: breaker.probing ? null : breaker.permits,
    probing: breaker.probing,
    inFlight,
    held: holds.length > 0,
    aside: [...aside].sort(),
    permitsTarget: breaker.permitsTarget,
  };
}

function wanted(m: Model): ReturnType<typeof seen> {
  const { phase } = m;
  return {
    state: phase.state === 'probing' || phase.state === 'ramp' ? 'half_open' : phase.state,
    generation: m.generation,
    trips: m.trips,
    retryAt: phase.state === 'open' ? phase.retryAt : null,
    streak: phase.state === 'closed' ? phase.streak : null,
    permits: phase.state === 'ramp' ? phase.permits : null,
    probing: phase.state === 'probing',
    inFlight: m.permits.size,
    held: phase.state === 'open' || phase.state === 'probing',
    aside: [...m.aside.keys()].sort(),
    permitsTarget: fleetSize(m),
  };
}

test('the scripts agree with the model under random steps', async () => {
  await fc.assert(
    fc.asyncProperty(
      scene,
      fc.array(step, { minLength: 20, maxLength: 120 }),
      async ({ tripped, upPercent }, steps) => {
        const run = new Run(upPercent);
        run.start(tripped);
        for (const one of steps) {
          const { generation } = run.model;
          run.do(one);
          run.compare();
          expect(run.model.generation).toBeGreaterThanOrEqual(generation);
          const { phase, permits } = run.model;
          if (phase.state !== 'ramp') expect(permits.size).toBe(0);
        }
        await run.agree();
      },
    ),
    { numRuns: 150 },
  );
});

test('with a healthy upstream and one live worker every breaker closes by itself', async () => {
  await fc.assert(
    fc.asyncProperty(
      scene,
      fc.array(step, { minLength: 10, maxLength: 60 }),
      fc.boolean(),
      async ({ tripped, upPercent }, steps, hasProbe) => {
        const run = new Run(upPercent);
        run.start(tripped);
        for (const one of steps) run.do(one);
        // From here only worker a lives, the upstream answers, and no work is left but single calls.
        for (let i = 0; i < 60 && run.model.phase.state !== 'closed'; i += 1) {
          run.do({ op: 'wait', ms: 5_000 });
          run.do({ op: 'heartbeat', worker: 'a' });
          run.do({ op: 'comeBack', worker: 'a', works: true });
          run.do({ op: 'beginTrial', worker: 'a', hasProbe });
          if (hasProbe) run.do({ op: 'endProbe', verdict: 'pass', late: false });
          run.do({ op: 'idle' });
        }
        await run.agree();
        expect((await run.fleet.read()).state).toBe('closed');
      },
    ),
    { numRuns: 60 },
  );
});
