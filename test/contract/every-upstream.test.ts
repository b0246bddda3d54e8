/**
 * The contract of an upstream, held by every one in the registry: its real client against its real simulation,
 * the fleet's session in a real Redis. Nothing here knows which upstream it talks about.
 */
import { definitions, upstreamNames } from '@recloser/upstreams/definitions';
import { expiryStyles } from '@recloser/upstreams/simulation';
import type { UpstreamDefinition } from '@recloser/upstreams/upstream';
import { afterEach, describe, expect, inject, it } from 'vitest';
import {
  expectAllowed,
  faultCases,
  givenUp,
  noProof,
  notSent,
  personNeeded,
  signInFailed,
  worked,
} from './allowed.ts';
import { examples } from './examples.ts';
import { Rig } from './rig.ts';

/** Enough for a warm client on a busy machine to get its request out, and short to wait for. */
const shortMs = 400;

const rigs: Rig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig[Symbol.asyncDispose]();
});

describe.each([...upstreamNames])('%s', (name) => {
  const definition: UpstreamDefinition = definitions[name];
  const operations = Object.values(definition.operations);
  const byPassword = definition.signIn === 'password';

  async function start(env: Record<string, string> = {}): Promise<Rig> {
    const rig = await Rig.start(name, { redisUrl: inject('redisUrl'), env });
    rigs.push(rig);
    return rig;
  }

  /** After every test: what was learned on the way must not have got out. */
  async function expectNothingSpilt(rig: Rig): Promise<void> {
    expect(await rig.secretsSpilt()).toEqual([]);
  }

  it('has an example for every operation, and its name everywhere', () => {
    expect(definition.name).toBe(name);
    expect(Object.keys(examples[name].operations).sort()).toEqual(Object.keys(definition.operations).sort());
    for (const [key, operation] of Object.entries(definition.operations)) expect(operation.name).toBe(key);
  });

  it('is asked about every kind of fault that the simulator has', async () => {
    const rig = await start();
    const kinds = rig.upstream.faultSchema.options.map((option) => option.shape.kind.value);
    const asked = new Set<string>(faultCases.map(({ fault }) => fault.kind));
    // `expired` has a test of its own; `gate` changes no answer.
    expect(kinds.filter((kind) => !['expired', 'gate'].includes(kind) && !asked.has(kind))).toEqual([]);
  });

  describe('when all is well', () => {
    it.each(operations)('$name is done, and its result has the promised form', async (operation) => {
      const rig = await start();
      await rig.signIn();
      const input = await rig.input(operation.name);
      expect(operation.input.parse(input)).toEqual(input);
      const { outcome, requests } = await rig.run(operation.name, input);
      expectAllowed(outcome, operation.effect, worked);
      if (outcome.kind !== 'done') return;
      const result = operation.result.safeParse(outcome.result);
      expect(result.error?.issues ?? []).toEqual([]);
      // What was not declared must not be kept.
      expect(outcome.result).toEqual(result.data);
      expect(requests.map((request) => request.outcome)).toEqual(['answered 200']);
      await expectNothingSpilt(rig);
    });

    it.each(operations)(
      '$name refuses an input it does not know without sending anything',
      async (operation) => {
        const rig = await start();
        await rig.warmUp();
        for (const input of [null, {}, 'rubbish', { ...(await rig.input(operation.name)), surprise: 1 }]) {
          const { outcome, requests, marks } = await rig.run(operation.name, input);
          expect(outcome).toMatchObject({ kind: 'reject', health: 'unknown' });
          expect([requests.length, marks]).toEqual([0, 0]);
        }
        const unknown = await rig.run('no-such-operation', {});
        expect(unknown.outcome).toMatchObject({ kind: 'reject', health: 'unknown' });
      },
    );
  });

  describe.each(operations)('$name under fault', (operation) => {
    const effect = operation.effect;

    async function attempt(faultCase: (typeof faultCases)[number], afterApply: boolean): Promise<void> {
      const rig = await start();
      await rig.warmUp();
      const input = await rig.input(operation.name);
      const fault = { ...faultCase.fault, operation: operation.name, ...(afterApply && { afterApply }) };
      if (!rig.upstream.faultSchema.safeParse(fault).success) return;
      rig.faults([fault]);
      const timeoutMs = faultCase.timesOut ? shortMs : undefined;
      const { outcome, requests } = await rig.run(operation.name, input, { timeoutMs });
      expectAllowed(outcome, effect, faultCase.allowed);
      expect(requests.length, 'the fault was never met').toBeGreaterThan(0);
      if (effect === 'unsafe' && outcome.kind === 'in_doubt') expect(requests).toHaveLength(1);
      if (outcome.kind === 'snooze' && outcome.hold.kind === 'rate-limit' && 'retryAfterSeconds' in fault) {
        expect(outcome.hold.delayMs).toBeGreaterThanOrEqual((fault.retryAfterSeconds ?? 0) * 1_000);
      }
      await expectNothingSpilt(rig);
    }

    it.each(faultCases)('$title', (faultCase) => attempt(faultCase, false));

    const afterwards = faultCases.filter(({ mayApply, fault }) => mayApply && !('afterApply' in fault));
    if (effect !== 'read') it.each(afterwards)('$title, with the work done', (one) => attempt(one, true));

    it('a port where nobody listens', async () => {
      const rig = await start();
      await rig.warmUp();
      const input = await rig.input(operation.name);
      await rig.simulator.stop();
      // The first one may still meet the dying connection.
      const first = await rig.run(operation.name, input);
      expectAllowed(first.outcome, effect, first.outcome.kind === 'retry' ? notSent : noProof);
      const second = await rig.run(operation.name, input);
      expectAllowed(second.outcome, effect, notSent);
    });

    it('a worker that stops in the middle', async () => {
      const rig = await start();
      await rig.warmUp();
      const input = await rig.input(operation.name);
      rig.faults([{ kind: 'hang', operation: operation.name }]);
      const stop = new AbortController();
      const running = rig.run(operation.name, input, { signal: stop.signal });
      await expect.poll(() => rig.upstream.ledger.requests().at(-1)?.outcome).toBe('hung');
      stop.abort(new Error('the worker stops'));
      expectAllowed((await running).outcome, effect, givenUp);
    });

    it('a worker that was told to stop before it began', async () => {
      const rig = await start();
      await rig.warmUp();
      const input = await rig.input(operation.name);
      const { outcome, requests } = await rig.run(operation.name, input, {
        signal: AbortSignal.abort(new Error('stop')),
      });
      expect(outcome).toMatchObject({ kind: 'retry', health: 'unknown' });
      expect(requests).toEqual([]);
    });

    if (effect === 'unsafe') {
      it('sends nothing when the sending mark cannot be stored', async () => {
        const rig = await start();
        await rig.warmUp();
        const input = await rig.input(operation.name);
        const before = rig.upstream.ledger.requests().length;
        const onSending = async () => {
          throw new Error('Redis is away');
        };
        const attempted = rig.worker.client.run(operation.name, input, {
          signal: AbortSignal.timeout(5_000),
          onSending,
        });
        await attempted.catch((error: Error) => expect(error.message).toBe('Redis is away'));
        expect(rig.upstream.ledger.requests().slice(before)).toEqual([]);
      });
    }
  });

  const writes = operations.filter(({ effect }) => effect !== 'read');
  describe.runIf(writes.length > 0)('an ambiguous write', () => {
    for (const operation of writes) {
      it(`${operation.name} is proven, absent, or said to be unprovable`, async () => {
        const rig = await start();
        await rig.warmUp();
        const provable = rig.worker.client.canVerify(operation.name);
        for (const afterApply of [false, true]) {
          const input = await rig.input(operation.name);
          rig.faults([{ kind: 'reset', operation: operation.name, afterApply, times: 1 }]);
          await rig.run(operation.name, input);
          if (!provable) {
            expect(await rig.verify(operation.name, input)).toMatchObject({ kind: 'unreadable' });
            continue;
          }
          const verification = await rig.verify(operation.name, input);
          expect(verification).toMatchObject({ kind: afterApply ? 'applied' : 'absent', health: 'up' });
          if (verification.kind !== 'applied') continue;
          expect(operation.result.safeParse(verification.result).error?.issues ?? []).toEqual([]);
        }
        await expectNothingSpilt(rig);
      });

      it(`${operation.name} cannot be read back while the reads fail, and that proves nothing`, async () => {
        const rig = await start();
        await rig.warmUp();
        if (!rig.worker.client.canVerify(operation.name)) return;
        const input = await rig.input(operation.name);
        for (const { fault, allowed, timesOut } of faultCases) {
          if (allowed === worked || !rig.upstream.faultSchema.safeParse(fault).success) continue;
          rig.faults([fault]);
          const timeoutMs = timesOut ? shortMs : undefined;
          const verification = await rig.verify(operation.name, input, { timeoutMs });
          expect(verification, JSON.stringify(fault)).toMatchObject({ kind: 'unreadable' });
          if (verification.kind !== 'unreadable') continue;
          if (allowed.kinds.read.includes('retry'))
            expect(verification.outcome.kind).toMatch(/^(retry|snooze)$/);
          rig.faults([]);
          // With a session again, so that the next fault meets the read and not the sign-in.
          await rig.warmUp();
        }
        await expectNothingSpilt(rig);
      });
    }
  });

  describe('a session that is over', () => {
    it.each([...expiryStyles])(
      'shown as %s costs one new sign-in or a person, and no call',
      async (style) => {
        const rig = await start();
        rig.addWorker();
        await rig.warmUp();
        const calls = await Promise.all(
          operations.flatMap((operation) =>
            [0, 1, 2].map(async (n) => ({
              operation,
              input: await rig.input(operation.name),
              worker: rig.workers[n % 2],
            })),
          ),
        );
        // The second worker knows the session too.
        await rig.workers[1]?.sessions.load();
        const before = rig.upstream.simulation.facts();
        const from = rig.upstream.ledger.requests().length;
        rig.upstream.simulation.expire(style);
        const makeAll = () =>
          Promise.all(
            calls.map(({ operation, input, worker }) => rig.run(operation.name, input, { worker })),
          );

        const attempted = await makeAll();
        const after = rig.upstream.simulation.facts();
        for (const [index, { outcome }] of attempted.entries()) {
          const effect = calls[index]?.operation.effect ?? 'read';
          expectAllowed(outcome, effect, byPassword ? worked : personNeeded);
        }
        expect(after.logins - before.logins).toBe(byPassword ? 1 : 0);
        expect(after.smsSent).toBe(before.smsSent);
        if (!byPassword) {
          await rig.signIn();
          for (const { outcome } of await makeAll()) expectAllowed(outcome, 'read', worked);
        }
        // Nothing was lost and nothing was done twice.
        for (const { name: operation, effect } of operations.filter((one) => one.effect !== 'read')) {
          const applied = rig.upstream.ledger
            .requests()
            .slice(from)
            .filter((request) => request.operation === operation && request.applied);
          expect(applied.length, `${operation} (${effect})`).toBe(3);
        }
        await expectNothingSpilt(rig);
      },
    );

    it.each([...expiryStyles])('for one request alone (%s) is mended the same way', async (style) => {
      const rig = await start();
      await rig.warmUp();
      for (const operation of operations) {
        const input = await rig.input(operation.name);
        rig.faults([{ kind: 'expired', style, operation: operation.name, times: 1 }]);
        const { logins } = rig.upstream.simulation.facts();
        const { outcome } = await rig.run(operation.name, input);
        expectAllowed(outcome, operation.effect, byPassword ? worked : personNeeded);
        expect(rig.upstream.simulation.facts().logins - logins).toBe(byPassword ? 1 : 0);
        await rig.signIn();
      }
      await expectNothingSpilt(rig);
    });

    it('is named by the hold that asks for a person, so that a newer one lifts it', async () => {
      const rig = await start();
      await rig.warmUp();
      const { client } = rig.worker;
      const id = await client.currentSession?.();
      expect(id).toEqual(expect.any(String));
      const reading = operations.find(({ effect }) => effect === 'read');
      const input = await rig.input(reading?.name ?? '');
      rig.upstream.simulation.change({ password: 'changed by somebody' });
      rig.upstream.simulation.expire('401');
      const { outcome } = await rig.run(reading?.name ?? '', input);
      expectAllowed(outcome, 'read', personNeeded);
      expect(outcome).toMatchObject({ hold: { session: id } });
      expect(await client.currentSession?.()).not.toBe(id);
    });

    it('by its own age is no different', async () => {
      const rig = await start();
      await rig.warmUp();
      const inputs = new Map<string, object>();
      for (const { name: operation } of operations) inputs.set(operation, await rig.input(operation));
      const { logins } = rig.upstream.simulation.facts();
      rig.simulator.advance(rig.upstream.simulation.settings.sessionTtlMs + 1);
      for (const operation of operations) {
        const input = inputs.get(operation.name);
        const { outcome } = await rig.run(operation.name, input);
        expectAllowed(outcome, operation.effect, byPassword ? worked : personNeeded);
      }
      expect(rig.upstream.simulation.facts().logins - logins).toBe(byPassword ? 1 : 0);
    });
  });

  describe('a sign-in that does not work', () => {
    it('with wrong credentials is tried once by the whole fleet, and a person is asked for', async () => {
      const rig = await start({ PASSWORD: 'not-the-password' });
      rig.addWorker();
      if (!byPassword) {
        expect(await rig.signInStep({ step: 'send-code' })).toMatchObject({ kind: 'refused' });
        // At once again: the account must not be locked by impatience.
        expect(await rig.signInStep({ step: 'send-code' })).toMatchObject({ kind: 'refused' });
      }
      const reading = operations.find(({ effect }) => effect === 'read') ?? operations[0];
      if (!reading) throw new Error('no operations');
      const input = await rig.input(reading.name);
      const runs = Array.from({ length: 10 }, (_, n) =>
        rig.run(reading.name, input, { worker: rig.workers[n % 2] }),
      );
      for (const { outcome } of await Promise.all(runs)) expectAllowed(outcome, 'read', personNeeded);
      expectAllowed((await rig.run(reading.name, input)).outcome, 'read', personNeeded);
      expect(rig.upstream.simulation.facts().logins).toBe(1);
      // The credentials are put right and the workers restarted: nobody has to unlock anything else.
      if (byPassword) {
        const worker = rig.addWorker({ PASSWORD: rig.password });
        expectAllowed((await rig.run(reading.name, input, { worker })).outcome, 'read', worked);
      }
      await expectNothingSpilt(rig);
    });

    const automatic = byPassword ? faultCases : [];
    it.each(automatic)('because of $title loses no call', async ({ fault, timesOut }) => {
      // The sign-in's own time limit follows from the operations'.
      const rig = await start(timesOut ? { TIMEOUT_MS: String(shortMs) } : {});
      const inputs = new Map<string, object>();
      for (const { name: operation } of operations) inputs.set(operation, await rig.input(operation));
      for (const operation of operations) {
        rig.upstream.simulation.expire('401');
        const aimed = { ...fault, operation: 'login' };
        if (!rig.upstream.faultSchema.safeParse(aimed).success) return;
        rig.faults([aimed]);
        const { outcome, requests, marks } = await rig.run(operation.name, inputs.get(operation.name));
        const allowed = { ...signInFailed, ...(outcome.kind === 'snooze' && { hold: outcome.hold.kind }) };
        expectAllowed(outcome, operation.effect, allowed);
        if (outcome.kind !== 'done') expect(requests.filter((request) => request.applied)).toEqual([]);
        // The mark stands for bytes that left: an answer that said "signed out" is the only such thing here.
        if (requests.length === 0) expect(marks).toBe(0);
        rig.faults([]);
        await rig.signIn();
        if (outcome.kind === 'done') continue;
        const again = await rig.run(operation.name, inputs.get(operation.name));
        expectAllowed(again.outcome, operation.effect, worked);
      }
      await expectNothingSpilt(rig);
    });
  });

  describe('the probe', () => {
    it('passes on an upstream that works and fails on one that does not', async () => {
      const rig = await start();
      await rig.warmUp();
      const { client } = rig.worker;
      if (!client.probe) return;
      const context = (ms = 10_000) => ({ signal: AbortSignal.timeout(ms), onSending: async () => {} });
      expect(await client.probe(context())).toMatchObject({ verdict: 'pass' });
      for (const { title, fault, allowed, timesOut } of faultCases) {
        if (!rig.upstream.faultSchema.safeParse(fault).success) continue;
        rig.faults([fault]);
        const { verdict, reason } = await client.probe(context(timesOut ? shortMs : undefined));
        if (allowed === noProof) expect([title, verdict]).toEqual([title, 'fail']);
        if (allowed === worked) expect([title, verdict]).toEqual([title, 'pass']);
        expect(reason).toMatch(/\S/);
        rig.faults([]);
        await rig.signIn();
      }
      rig.faults([{ kind: 'hang' }]);
      const stop = new AbortController();
      const probing = client.probe({ ...context(), signal: stop.signal });
      await expect.poll(() => rig.upstream.ledger.requests().at(-1)?.outcome).toBe('hung');
      stop.abort(new Error('the worker stops'));
      expect(await probing).toMatchObject({ verdict: 'inconclusive' });
      await expectNothingSpilt(rig);
    });
  });
});
