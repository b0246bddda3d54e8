/** The contract of an upstream's session: what an expired session and a failed sign-in cost. */
import { type ExpiryStyle, expiryStyles } from '@recloser/upstreams/simulation/simulation';
import { describe, expect, it } from 'vitest';
import {
  type Allowed,
  expectAllowed,
  faultCases,
  loginPageInstead,
  personNeeded,
  signInFailed,
  worked,
} from './allowed.ts';
import { Rig } from './rig.ts';
import { sharedRig } from './shared-rig.ts';
import { type Subject, subjects } from './subjects.ts';

describe.each(subjects)('$name', (subject) => {
  describe('a session that is over', () => sessionsThatAreOver(subject));

  it('with wrong credentials is signed in once by the whole fleet, and a person is asked for', async () => {
    const { name, reading, byPassword } = subject;
    await using rig = await Rig.start(name, { PASSWORD: 'not-the-password' });
    rig.addWorker();
    if (!byPassword) {
      expect(await rig.signInStep({ step: 'send-code' })).toMatchObject({ kind: 'refused' });
      // An immediate second attempt must not try to sign in: that could lock the account.
      expect(await rig.signInStep({ step: 'send-code' })).toMatchObject({ kind: 'refused' });
    }
    const input = await rig.input(reading.name);
    const runs = Array.from({ length: 10 }, (_, n) =>
      rig.run(reading.name, input, { worker: rig.workers[n % 2] }),
    );
    for (const { outcome } of await Promise.all(runs)) expectAllowed(outcome, 'read', personNeeded);
    expectAllowed((await rig.run(reading.name, input)).outcome, 'read', personNeeded);
    expect(rig.upstream.simulation.facts().logins).toBe(1);
    // The credentials are fixed and the workers restarted. With a password, nothing else must be unlocked.
    const worker = rig.addWorker({ PASSWORD: rig.password });
    const { outcome } = await rig.run(reading.name, input, { worker });
    expectAllowed(outcome, 'read', byPassword ? worked : personNeeded);
  });
});

function sessionsThatAreOver(subject: Subject): void {
  const { name, operations, reading, writes, byPassword, hasLoginPage } = subject;
  /** A login page proves nothing about a write: it is read back first. */
  const afterTheEnd = (style: ExpiryStyle): Allowed =>
    style === 'html' && hasLoginPage ? loginPageInstead : worked;
  const shared = sharedRig(name, { workers: 2 });

  it.each([...expiryStyles])('shown as %s costs one new sign-in or a person, and no call', async (style) => {
    const rig = shared();
    const calls = await Promise.all(
      operations.flatMap((operation) =>
        [0, 1, 2].map(async (n) => ({
          operation,
          input: await rig.input(operation.name),
          worker: rig.workers[n % 2],
        })),
      ),
    );
    // The second worker has the session too.
    await rig.workers[1]?.sessions.load();
    const before = rig.upstream.simulation.facts();
    const arrived = rig.fromNow();
    rig.upstream.simulation.expire(style);
    const makeAll = () =>
      Promise.all(calls.map(({ operation, input, worker }) => rig.run(operation.name, input, { worker })));

    const attempted = await makeAll();
    const after = rig.upstream.simulation.facts();
    for (const [index, { outcome }] of attempted.entries()) {
      const effect = calls[index]?.operation.effect ?? 'read';
      expectAllowed(outcome, effect, byPassword ? afterTheEnd(style) : personNeeded);
    }
    expect(after.logins - before.logins).toBe(byPassword ? 1 : 0);
    expect(after.smsSent).toBe(before.smsSent);
    if (!byPassword) {
      await rig.signIn();
      for (const { outcome } of await makeAll()) expectAllowed(outcome, 'read', worked);
    }
    // No call was lost or made twice.
    for (const { name: operation, effect } of writes) {
      const applied = arrived().filter((request) => request.operation === operation && request.applied);
      expect(applied.length, `${operation} (${effect})`).toBe(afterTheEnd(style) === worked ? 3 : 0);
    }
  });

  const alone = expiryStyles.flatMap((style) => operations.map((operation) => ({ style, operation })));
  it.each(alone)('for one request of $operation.name alone ($style) is mended the same way', async (one) => {
    const rig = shared();
    const { name: operation, effect } = one.operation;
    const input = await rig.input(operation);
    rig.faults([{ kind: 'expired', style: one.style, operation, times: 1 }]);
    const { logins } = rig.upstream.simulation.facts();
    const { outcome, requests } = await rig.run(operation, input);
    expectAllowed(outcome, effect, byPassword ? afterTheEnd(one.style) : personNeeded);
    expect(rig.upstream.simulation.facts().logins - logins).toBe(byPassword ? 1 : 0);
    if (outcome.kind === 'in_doubt') expect(requests).toHaveLength(1);
  });

  const meetLoginPages = hasLoginPage ? writes : [];
  it.each(meetLoginPages)(
    'for a request of $name that was carried out is in doubt, not repeated',
    async (one) => {
      const rig = shared();
      const input = await rig.input(one.name);
      rig.faults([{ kind: 'expired', style: 'html', operation: one.name, afterApply: true }]);
      const { outcome, requests } = await rig.run(one.name, input);
      expectAllowed(outcome, one.effect, loginPageInstead);
      expect(outcome).toMatchObject({ ended: true });
      expect(requests.map(({ applied }) => applied)).toEqual([true]);
    },
  );

  it('is named by the hold that asks for a person, so that a newer one lifts it', async () => {
    await using rig = await Rig.start(name);
    await rig.ready();
    const { client } = rig.worker;
    const id = await client.currentSession?.();
    expect(id).toEqual(expect.any(String));
    const input = await rig.input(reading.name);
    rig.upstream.simulation.change({ password: 'changed by somebody' });
    rig.upstream.simulation.expire('401');
    const { outcome } = await rig.run(reading.name, input);
    expectAllowed(outcome, 'read', personNeeded);
    expect(outcome).toMatchObject({ hold: { session: id } });
    expect(await client.currentSession?.()).not.toBe(id);
  });

  it('by its own age is no different', async () => {
    await using rig = await Rig.start(name);
    await rig.ready();
    const inputs = new Map<string, object>();
    for (const { name: operation } of operations) inputs.set(operation, await rig.input(operation));
    const { logins } = rig.upstream.simulation.facts();
    rig.simulator.advance(rig.upstream.simulation.settings.sessionTtlMs + 1);
    for (const operation of operations) {
      const { outcome } = await rig.run(operation.name, inputs.get(operation.name));
      expectAllowed(outcome, operation.effect, byPassword ? worked : personNeeded);
    }
    expect(rig.upstream.simulation.facts().logins - logins).toBe(byPassword ? 1 : 0);
  });
}

const signingIn = subjects.filter(({ byPassword }) => byPassword);
describe.each(signingIn)('$name a sign-in that does not work', ({ name, operations, canHave }) => {
  const shared = sharedRig(name);

  // The simulator never rejects a sign-in in the upstream's own form.
  const cases = faultCases.filter(({ fault }) => fault.kind !== 'not-ok' && canHave(fault));
  it.each(cases)('because of $title loses no call', async ({ fault }) => {
    const rig = shared();
    const inputs = new Map<string, object>();
    for (const { name: operation } of operations) inputs.set(operation, await rig.input(operation));
    for (const operation of operations) {
      rig.upstream.simulation.expire('401');
      rig.faults([{ ...fault, operation: 'login' }]);
      const { outcome, requests, marks } = await rig.run(operation.name, inputs.get(operation.name));
      expectAllowed(outcome, operation.effect, signInFailed);
      expect(rig.upstream.faults.view().fired, 'the fault was never met').not.toEqual([0]);
      if (outcome.kind !== 'done') expect(requests.filter((request) => request.applied)).toEqual([]);
      // The mark means that bytes were sent. Here only a request that was answered "signed out" was sent.
      if (requests.length === 0) expect(marks).toBe(0);
      rig.faults([]);
      await rig.signIn();
      if (outcome.kind === 'done') continue;
      const again = await rig.run(operation.name, inputs.get(operation.name));
      expectAllowed(again.outcome, operation.effect, worked);
    }
  });
});
