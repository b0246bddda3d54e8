/** The contract of an upstream's operations: each upstream's client against its simulation, with every fault. */
import { assert, describe, expect, it } from 'vitest';
import {
  expectAllowed,
  type FaultCase,
  faultCases,
  faultCasesAfterWork,
  givenUp,
  noProof,
  notSent,
  worked,
} from './allowed.ts';
import { examples } from './examples.ts';
import { Rig } from './rig.ts';
import { sharedRig } from './shared-rig.ts';
import { subjects } from './subjects.ts';

/** `expired` and `gate` are tested elsewhere. */
const testedElsewhere = ['expired', 'gate'];

describe.each(subjects)('$name', ({ name, definition, operations, faultKinds, canHave }) => {
  const shared = sharedRig(name);

  it('has an example for every operation, and its name everywhere', () => {
    expect(definition.name).toBe(name);
    expect(Object.keys(examples[name].operations).sort()).toEqual(Object.keys(definition.operations).sort());
    for (const [key, operation] of Object.entries(definition.operations)) expect(operation.name).toBe(key);
  });

  it('is asked about every kind of fault that the simulator has', () => {
    const asked = new Set<string>([...faultCases.map(({ fault }) => fault.kind), ...testedElsewhere]);
    expect(faultKinds.filter((kind) => !asked.has(kind))).toEqual([]);
  });

  it('refuses an operation it does not know', async () => {
    const { outcome } = await shared().run('no-such-operation', {});
    expect(outcome).toMatchObject({ kind: 'reject', health: 'unknown' });
  });

  describe.each(operations)('$name', (operation) => {
    const { effect } = operation;

    it('is done when all is well, and its result has the promised form', async () => {
      const rig = shared();
      const input = await rig.input(operation.name);
      expect(operation.input.parse(input)).toEqual(input);
      const { outcome, requests } = await rig.run(operation.name, input);
      expectAllowed(outcome, effect, worked);
      assert(outcome.kind === 'done');
      const result = operation.result.safeParse(outcome.result);
      expect(result.error?.issues ?? []).toEqual([]);
      // Undeclared fields must not be kept.
      expect(outcome.result).toEqual(result.data);
      expect(requests.map((request) => request.outcome)).toEqual(['answered 200']);
    });

    it('refuses an input it does not know without sending anything', async () => {
      const rig = shared();
      for (const input of [null, {}, 'rubbish', { ...(await rig.input(operation.name)), surprise: 1 }]) {
        const { outcome, requests, marks } = await rig.run(operation.name, input);
        expect(outcome).toMatchObject({ kind: 'reject', health: 'unknown' });
        expect([requests.length, marks]).toEqual([0, 0]);
      }
    });

    const cases = [...faultCases, ...(effect === 'read' ? [] : faultCasesAfterWork)];
    it.each(cases.filter(({ fault }) => canHave(fault)))(
      'under fault: $title',
      async (faultCase: FaultCase) => {
        const rig = shared();
        const input = await rig.input(operation.name);
        const fault = { ...faultCase.fault, operation: operation.name };
        rig.faults([fault]);
        const { outcome, requests } = await rig.run(operation.name, input);
        expectAllowed(outcome, effect, faultCase.allowed);
        expect(requests.length, 'the fault was never met').toBeGreaterThan(0);
        if (effect === 'unsafe' && outcome.kind === 'in_doubt') expect(requests).toHaveLength(1);
        if (
          outcome.kind === 'snooze' &&
          outcome.hold?.kind === 'rate-limit' &&
          'retryAfterSeconds' in fault
        ) {
          expect(outcome.hold.delayMs).toBeGreaterThanOrEqual((fault.retryAfterSeconds ?? 0) * 1_000);
        }
      },
    );

    it('under fault: a port where nobody listens', async () => {
      await using rig = await Rig.start(name);
      await rig.ready();
      const input = await rig.input(operation.name);
      await rig.simulator.stop();
      // The first attempt may still meet the closing connection.
      const first = await rig.run(operation.name, input);
      expectAllowed(first.outcome, effect, first.outcome.kind === 'retry' ? notSent : noProof);
      const second = await rig.run(operation.name, input);
      expectAllowed(second.outcome, effect, notSent);
    });

    it('says nothing about the upstream when the worker stops in the middle', async () => {
      const rig = shared();
      const input = await rig.input(operation.name);
      rig.faults([{ kind: 'hang', operation: operation.name }]);
      const stop = new AbortController();
      const silence = rig.nextSilence();
      const running = rig.run(operation.name, input, { signal: stop.signal });
      await silence;
      stop.abort(new Error('the worker stops'));
      expectAllowed((await running).outcome, effect, givenUp);
    });

    it('sends nothing when the worker was told to stop before it began', async () => {
      const rig = shared();
      const input = await rig.input(operation.name);
      const { outcome, requests } = await rig.run(operation.name, input, {
        signal: AbortSignal.abort(new Error('stop')),
      });
      expect(outcome).toMatchObject({ kind: 'retry', health: 'unknown' });
      expect(requests).toEqual([]);
    });

    it.each(effect === 'unsafe' ? [operation] : [])(
      'sends nothing when the sending mark cannot be stored',
      async () => {
        const rig = shared();
        const input = await rig.input(operation.name);
        const arrived = rig.fromNow();
        const attempt = rig.worker.client.run(operation.name, input, {
          signal: new AbortController().signal,
          onSending: () => Promise.reject(new Error('Redis is away')),
        });
        await expect(attempt).rejects.toThrow('Redis is away');
        expect(arrived()).toEqual([]);
      },
    );
  });
});
