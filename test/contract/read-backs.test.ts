/** The contract of an upstream's read-back after an ambiguous write, and of the breaker's probe. */
import { assert, describe, expect, it } from 'vitest';
import { type Allowed, faultCases, noProof, worked } from './allowed.ts';
import { sharedRig } from './shared-rig.ts';
import { subjects } from './subjects.ts';

const writing = subjects.filter(({ writes }) => writes.length > 0);
describe.each(writing)('$name after an ambiguous write', ({ name, writes, provable, canHave }) => {
  const shared = sharedRig(name);

  const ends = [
    { end: 'absent when it was not done', afterApply: false, kind: 'absent' },
    { end: 'applied when it was', afterApply: true, kind: 'applied' },
  ];
  const proofs = provable.flatMap((operation) => ends.map((end) => ({ operation, ...end })));
  it.each(proofs)('$operation.name is proven $end', async ({ operation, afterApply, kind }) => {
    const rig = shared();
    const input = await rig.input(operation.name);
    rig.faults([{ kind: 'reset', operation: operation.name, afterApply, times: 1 }]);
    await rig.run(operation.name, input);
    const verification = await rig.verify(operation.name, input);
    expect(verification).toMatchObject({ kind, health: 'up' });
    const result = verification.kind === 'applied' ? operation.result.safeParse(verification.result) : null;
    expect(result?.error?.issues ?? []).toEqual([]);
  });

  const unprovable = writes.filter((operation) => !provable.includes(operation));
  it.each(unprovable)('$name is said to be unprovable', async ({ name: operation }) => {
    const rig = shared();
    for (const afterApply of [false, true]) {
      const input = await rig.input(operation);
      rig.faults([{ kind: 'reset', operation, afterApply, times: 1 }]);
      await rig.run(operation, input);
      expect(await rig.verify(operation, input)).toMatchObject({ kind: 'unreadable' });
    }
  });

  const hindered = faultCases.filter(({ fault, allowed }) => allowed !== worked && canHave(fault));
  const blindReads = provable.flatMap((operation) => hindered.map((one) => ({ operation, ...one })));
  it.each(blindReads)('$operation.name is not proven by a read under fault: $title', async (one) => {
    const rig = shared();
    const input = await rig.input(one.operation.name);
    rig.faults([one.fault]);
    const verification = await rig.verify(one.operation.name, input);
    expect(verification).toMatchObject({ kind: 'unreadable' });
    assert(verification.kind === 'unreadable');
    const mayRetry = one.allowed.read.some((verdict) => verdict.startsWith('retry'));
    expect(['retry', 'snooze', ...(mayRetry ? [] : ['reject'])]).toContain(verification.outcome.kind);
  });
});

const probing = subjects.filter(({ hasProbe }) => hasProbe);
describe.each(probing)('$name asked by a probe', ({ name, canHave }) => {
  const shared = sharedRig(name);

  it('passes when all is well', async () => {
    expect(await shared().probe()).toMatchObject({ verdict: 'pass' });
  });

  it.each(faultCases.filter(({ fault }) => canHave(fault)))(
    'under fault: $title',
    async ({ fault, allowed }) => {
      const rig = shared();
      rig.faults([fault]);
      const answer = await rig.probe();
      expect(verdicts(allowed)).toContain(answer?.verdict);
      expect(answer?.reason).toMatch(/\S/);
    },
  );

  it('says nothing when the worker stops in the middle', async () => {
    const rig = shared();
    rig.faults([{ kind: 'hang' }]);
    const stop = new AbortController();
    const silence = rig.nextSilence();
    const answer = rig.probe({ signal: stop.signal });
    await silence;
    stop.abort(new Error('the worker stops'));
    expect(await answer).toMatchObject({ verdict: 'inconclusive' });
  });
});

/** The health that a probe may report. It must distinguish an upstream that is down from one that works. */
function verdicts(allowed: Allowed): readonly string[] {
  if (allowed === noProof) return ['fail'];
  if (allowed === worked) return ['pass'];
  return ['pass', 'fail', 'inconclusive'];
}
