/**
 * Sequences of random faults with fixed seeds: every call ends by the rules of docs/in-doubt.md, and no unsafe write is
 * done twice. `take` implements those rules in a few lines, without BullMQ.
 */
import type { Fault } from '@recloser/simulator/faults';
import type { LedgerEntry } from '@recloser/simulator/ledger';
import type { Verification } from '@recloser/upstreams/contract/upstream';
import { expiryStyles } from '@recloser/upstreams/simulation/simulation';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectWellFormed, tooLongMs } from './allowed.ts';
import type { Rig } from './rig.ts';
import { sharedRig } from './shared-rig.ts';
import { subjects } from './subjects.ts';

const seeds = [1, 20, 303, 4_004, 50_005, 600_006];
const runsPerSeed = 4;
/** More turns than the faults of one sequence can use up. */
const maxTurns = 60;

/** Faults that do not show whether the work was done. */
const ambiguous: fc.Arbitrary<Fault> = fc
  .record({
    one: fc.constantFrom<Fault>(
      ...[500, 502, 503, 504, 408].map((status) => ({ kind: 'status', status }) as const),
      { kind: 'status', status: 503, retryAfterSeconds: 2 },
      { kind: 'reset' },
      { kind: 'hang' },
      { kind: 'hang', ms: 20 },
      { kind: 'html' },
      { kind: 'empty' },
      { kind: 'truncate' },
      { kind: 'truncate', abort: true },
      { kind: 'bad-json' },
      { kind: 'latency', ms: tooLongMs },
    ),
    afterApply: fc.boolean(),
  })
  .map(({ one, afterApply }) => ({ ...one, afterApply }) as Fault);

/** Faults that prove that nothing was done. */
const refusals: fc.Arbitrary<Fault> = fc.constantFrom<Fault>(
  ...[429, 400, 404, 422, 401, 403].map((status) => ({ kind: 'status', status }) as const),
  ...expiryStyles.map((style) => ({ kind: 'expired', style }) as const),
  { kind: 'not-ok' },
  { kind: 'capacity', limit: 0, status: 429 },
  { kind: 'rate', perSecond: 0, status: 429, retryAfterSeconds: 1 },
);

const others: fc.Arbitrary<Fault> = fc.constantFrom<Fault>(
  { kind: 'late-commit', ms: 30 },
  { kind: 'latency', ms: 20 },
  { kind: 'capacity', limit: 0, status: 503 },
);

type Scenario = {
  readonly faults: readonly Fault[];
  readonly calls: readonly string[];
  /** Sessions that expire before the nth call. */
  readonly expiries: readonly { readonly before: number; readonly style: (typeof expiryStyles)[number] }[];
  readonly firstToGiveUp: Rig['firstToGiveUp'];
};

function scenarios(operations: readonly string[]): fc.Arbitrary<Scenario> {
  const fault = fc
    .record({
      one: fc.oneof({ weight: 3, arbitrary: ambiguous }, refusals, others),
      times: fc.integer({ min: 1, max: 3 }),
      operation: fc.constantFrom(undefined, 'login', ...operations),
      probability: fc.constantFrom(1, 1, 0.6),
    })
    .map(({ one, times, operation, probability }) => ({ ...one, times, operation, probability }) as Fault);
  return fc.record({
    faults: fc.array(fault, { minLength: 1, maxLength: 6 }),
    calls: fc.array(fc.constantFrom(...operations), { minLength: 1, maxLength: 3 }),
    expiries: fc.array(
      fc.record({ before: fc.integer({ min: 0, max: 2 }), style: fc.constantFrom(...expiryStyles) }),
      { maxLength: 1 },
    ),
    firstToGiveUp: fc.constantFrom('sign-in', 'attempt'),
  });
}

type End = 'done' | 'rejected' | 'in_doubt';

/** Runs a call until it ends, each turn on another worker. A person signs in whenever a hold requests it. */
async function take(rig: Rig, operation: string, input: object): Promise<{ end: End; asked: number }> {
  const { effect } = rig.definition.operations[operation] ?? { effect: 'unsafe' };
  const provable = rig.worker.client.canVerify(operation);
  let asked = 0;
  const options = () => {
    asked += 1;
    return { worker: rig.workers[asked % rig.workers.length] };
  };
  while (asked < maxTurns) {
    const { outcome, requests } = await rig.run(operation, input, options());
    expectWellFormed(outcome);
    if (effect === 'unsafe') expectRepeatsProven(requests);
    if (outcome.kind === 'done') return { end: 'done', asked };
    if (outcome.kind === 'reject') return { end: 'rejected', asked };
    if (outcome.kind === 'snooze' && outcome.hold?.kind === 'sign-in') await rig.signInWhateverItTakes();
    if (outcome.kind !== 'in_doubt') continue;
    if (!provable && effect === 'unsafe') return { end: 'in_doubt', asked };
    if (!provable) continue;
    // Like the worker's waits before a read-back.
    await rig.upstreamAtRest();
    let proof: Verification;
    do {
      proof = await rig.verify(operation, input, options());
      if (proof.kind !== 'unreadable') break;
      const { outcome: read } = proof;
      expectWellFormed(read);
      if (read.kind === 'snooze' && read.hold?.kind === 'sign-in') await rig.signInWhateverItTakes();
    } while (asked < maxTurns);
    if (proof.kind === 'applied') return { end: 'done', asked };
    if (proof.kind === 'unprovable') return { end: 'in_doubt', asked };
  }
  throw new Error(`${operation} came to no end`);
}

/** Within one attempt, a write is repeated only after an answer that proves that it was not done. */
function expectRepeatsProven(requests: readonly LedgerEntry[]): void {
  for (const request of requests.slice(0, -1)) {
    expect(request.applied).toBe(false);
    expect(request.outcome).toMatch(/^answered (302|307|401|403)$/);
  }
}

describe.each(subjects)('$name under random faults', ({ name, definition, canHave }) => {
  const operations = Object.keys(definition.operations);
  const shared = sharedRig(name, { workers: 2 });

  it.each(seeds)('ends every call and repeats no unsafe write, seed %i', async (seed) => {
    const property = fc.asyncProperty(scenarios(operations), (scenario) => play(scenario, seed));
    await fc.assert(property, { seed, numRuns: runsPerSeed, endOnFailure: false });
  });

  async function play(scenario: Scenario, seed: number): Promise<void> {
    const { faults, calls, expiries, firstToGiveUp } = scenario;
    const rig = shared();
    await rig.ready();
    rig.firstToGiveUp = firstToGiveUp;
    const inputs: [string, object][] = [];
    for (const operation of calls) inputs.push([operation, await rig.input(operation)]);
    rig.faults(faults.filter(canHave), seed);
    for (const [index, [operation, input]] of inputs.entries()) {
      for (const { before, style } of expiries) if (before === index) rig.upstream.simulation.expire(style);
      await playOne(rig, operation, input);
    }
  }

  async function playOne(rig: Rig, operation: string, input: object): Promise<void> {
    const arrived = rig.fromNow();
    const before = rig.upstream.simulation.facts();
    const { end, asked } = await take(rig, operation, input);
    await rig.upstreamAtRest();
    const after = rig.upstream.simulation.facts();
    const applied = arrived().filter((request) => request.operation === operation && request.applied).length;
    const { effect } = definition.operations[operation] ?? {};
    if (effect === 'unsafe') expect(applied, `${operation} ended ${end}`).toBeLessThanOrEqual(1);
    if (effect !== 'read' && end === 'done') expect(applied, operation).toBe(1);
    if (effect !== 'read' && end === 'rejected') expect(applied, operation).toBe(0);
    if (effect === 'read') expect(end).not.toBe('in_doubt');
    // At most one sign-in per attempt: no login storm.
    if (definition.signIn === 'password') expect(after.logins - before.logins).toBeLessThanOrEqual(asked);
  }
});
