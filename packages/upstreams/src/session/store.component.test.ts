import { randomBytes, randomUUID } from 'node:crypto';
import { createSealer, type Sealer } from '@recloser/runtime/secrets/seal';
import { Redis } from 'ioredis';
import { afterAll, afterEach, assert, beforeEach, describe, expect, inject, it } from 'vitest';
import { credentialsFingerprint } from './credentials.ts';
import type { Session, SignInAnswer } from './renewal.ts';
import { SessionStore } from './store.ts';

const redis = new Redis(inject('redisUrl'));
const others: Redis[] = [];
let root = '';

beforeEach(() => {
  root = `test-${randomUUID()}:{crossmark}`;
});

afterEach(() => {
  for (const other of others.splice(0)) other.disconnect();
});

afterAll(() => redis.disconnect());

const shared = createSealer(randomBytes(32));

function store(worker = 'w1', options: { leaseMs?: number; connection?: Redis; seal?: Sealer } = {}) {
  const { leaseMs, connection = redis, seal = shared } = options;
  return new SessionStore({
    redis: connection,
    root,
    sealer: seal,
    worker,
    pollMs: 5,
    ...(leaseMs !== undefined && { leaseMs }),
  });
}

/** A store with its own connection, like another process. */
function elsewhere(worker: string, leaseMs?: number): SessionStore {
  const connection = new Redis(inject('redisUrl'));
  others.push(connection);
  return store(worker, { connection, ...(leaseMs !== undefined && { leaseMs }) });
}

/** Like `elsewhere`, and counts the scripts it runs. */
function watched(worker: string): { store: SessionStore; scripts: { run: number } } {
  const connection = new Redis(inject('redisUrl'));
  others.push(connection);
  const scripts = { run: 0 };
  const evalsha = connection.evalsha.bind(connection);
  connection.evalsha = ((...args: Parameters<typeof evalsha>) => {
    scripts.run += 1;
    return evalsha(...args);
  }) as typeof connection.evalsha;
  return { store: store(worker, { connection }), scripts };
}

const prints = 'fingerprint';

function signInWith(data: unknown) {
  const calls = { count: 0 };
  const signIn = async (): Promise<SignInAnswer> => {
    calls.count += 1;
    return { kind: 'signed-in', data };
  };
  return { calls, signIn };
}

const failing: SignInAnswer = {
  kind: 'failed',
  outcome: { kind: 'retry', health: 'down', code: 'sign_in_failed', message: 'down' },
};
const refusing: SignInAnswer = { kind: 'refused', code: 'sign_in_refused', message: 'wrong' };

function never(): Promise<SignInAnswer> {
  throw new Error('must not sign in');
}

describe('load and renew', () => {
  it('has no session at first, signs in once, and then reads the cache', async () => {
    const first = store();
    expect(await first.load()).toBeNull();
    const { signIn } = signInWith({ cookies: 'secret-cookie' });
    const renewal = await first.renew(null, prints, signIn);
    expect(renewal).toMatchObject({ kind: 'session', fresh: true, session: { revision: 1 } });
    expect(await store('w2').load()).toMatchObject({ data: { cookies: 'secret-cookie' } });
    expect(JSON.stringify(await redis.hgetall(`${root}:session`))).not.toContain('secret-cookie');

    // The closed connection proves that no command is sent.
    const connection = new Redis(inject('redisUrl'));
    const cached = store('w3', { connection });
    await cached.load();
    connection.disconnect();
    expect(await cached.load()).toMatchObject({ data: { cookies: 'secret-cookie' } });
  });

  it('signs in once for 20 callers in several processes', async () => {
    const { calls, signIn } = signInWith('one');
    const stores = [store('w1'), elsewhere('w2'), elsewhere('w3'), elsewhere('w4')];
    const renewals = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (stores[index % 4] as SessionStore).renew(null, prints, signIn),
      ),
    );
    expect(calls.count).toBe(1);
    const ids = renewals.map((renewal) => renewal.kind === 'session' && renewal.session.id);
    expect(new Set(ids).size).toBe(1);
  });

  it('returns a newer session at once instead of signing in', async () => {
    const one = store('w1');
    const two = elsewhere('w2');
    await one.renew(null, prints, signInWith('old').signIn);
    const stale = await two.load();
    await one.renew(await one.load(), prints, signInWith('new').signIn);
    expect(await two.load()).toMatchObject({ data: 'old' });
    const renewal = await two.renew(stale, prints, never);
    expect(renewal).toMatchObject({ kind: 'session', fresh: false, session: { data: 'new' } });
    expect(await two.load()).toMatchObject({ data: 'new' });
  });

  it('counts changed data of the same sign-in as newer too', async () => {
    const one = store('w1');
    const two = elsewhere('w2');
    await one.renew(null, prints, signInWith('first').signIn);
    const stale = await two.load();
    expect(await one.rotate(stale?.id ?? '', 'rotated')).toBe(true);
    expect(await two.renew(stale, prints, never)).toMatchObject({
      session: { id: stale?.id, revision: 2, data: 'rotated' },
    });
  });

  it('replaces a session that is sealed with another key', async () => {
    await store('w1').renew(null, prints, signInWith('old').signIn);
    const other = store('w2', { seal: createSealer(randomBytes(32)) });
    expect(await other.load()).toBeNull();
    expect(await other.renew(null, prints, signInWith('new').signIn)).toMatchObject({
      session: { data: 'new' },
    });
  });

  it('lets another worker sign in after the lease of a dead leader, and ignores that leader if it resumes', async () => {
    const slow = Promise.withResolvers<SignInAnswer>();
    const begun = Promise.withResolvers<void>();
    const zombie = store('zombie', { leaseMs: 60 });
    const zombieRenewal = zombie.renew(null, prints, () => {
      begun.resolve();
      return slow.promise;
    });
    await begun.promise;
    const { calls, signIn } = signInWith('of the living');
    const renewal = await elsewhere('w2').renew(null, prints, signIn);
    expect(renewal).toMatchObject({ kind: 'session', fresh: true, session: { data: 'of the living' } });
    expect(calls.count).toBe(1);
    slow.resolve({ kind: 'signed-in', data: 'of the dead' });
    expect(await zombieRenewal).toMatchObject({ session: { data: 'of the living' } });
    expect(await store('w3').load()).toMatchObject({ data: 'of the living' });
  });

  it('keeps the stale session while it is renewed, in case the leader dies', async () => {
    const dying = elsewhere('w1', 60);
    const stale = await dying.store({ cookies: 'worth renewing' });
    const begun = Promise.withResolvers<void>();
    // Never returns.
    void dying.renew(stale, prints, () => {
      begun.resolve();
      return new Promise(() => {});
    });
    await begun.promise;
    const heir = elsewhere('w2');
    const left = await heir.load();
    expect(left).toMatchObject({ id: stale.id, data: { cookies: 'worth renewing' } });
    const { calls, signIn } = signInWith('renewed');
    expect(await heir.renew(left, prints, signIn)).toMatchObject({ session: { data: 'renewed' } });
    expect(calls.count).toBe(1);
  });

  it('ends the stale session with a refusal, and keeps it after a failure', async () => {
    const one = store();
    const stale = await one.store('old');
    await one.renew(stale, prints, async () => failing);
    expect(await elsewhere('w2').load()).toMatchObject({ id: stale.id, data: 'old' });
    await one.forgetRefusal();
    await one.renew(stale, prints, async () => refusing);
    expect(await elsewhere('w3').load()).toBeNull();
  });

  it('does not save changes of a session that is being renewed', async () => {
    const one = store('w1');
    const stale = await one.store('old');
    const slow = Promise.withResolvers<SignInAnswer>();
    const begun = Promise.withResolvers<void>();
    const renewal = one.renew(stale, prints, () => {
      begun.resolve();
      return slow.promise;
    });
    await begun.promise;
    expect(await elsewhere('w2').rotate(stale.id, 'late cookies')).toBe(false);
    slow.resolve({ kind: 'signed-in', data: 'new' });
    expect(await renewal).toMatchObject({ session: { data: 'new' } });
  });

  it('ends the wait of an aborted caller, but not the sign-in', async () => {
    const one = store();
    const slow = Promise.withResolvers<SignInAnswer>();
    const reason = new Error('enough');
    const controller = new AbortController();
    const signIn = () => {
      controller.abort(reason);
      return slow.promise;
    };
    await expect(one.renew(null, prints, signIn, controller.signal)).rejects.toBe(reason);
    await expect(elsewhere('w2').renew(null, prints, never, controller.signal)).rejects.toBe(reason);
    const patient = one.renew(null, prints, never);
    slow.resolve({ kind: 'signed-in', data: 'kept' });
    expect(await patient).toMatchObject({ session: { data: 'kept' } });
  });
});

describe('failed sign-ins', () => {
  it('remembers refused credentials for everyone until they change', async () => {
    let tries = 0;
    const refuse = async () => {
      tries += 1;
      return refusing;
    };
    expect(await store('w1').renew(null, prints, refuse)).toEqual({ ...refusing, remembered: false });
    expect(await elsewhere('w2').renew(null, prints, refuse)).toEqual({ ...refusing, remembered: true });
    expect(tries).toBe(1);
    expect(await store().refusal()).toMatchObject({ code: 'sign_in_refused', message: 'wrong' });

    const changed = await elsewhere('w3').renew(null, 'other fingerprint', signInWith('good').signIn);
    expect(changed).toMatchObject({ kind: 'session', session: { data: 'good' } });
    expect(await store().refusal()).toBeNull();
  });

  it('tries refused credentials again if a person requests it', async () => {
    await store().renew(null, prints, async () => refusing);
    await store().forgetRefusal();
    expect(await store().renew(null, prints, signInWith('good').signIn)).toMatchObject({ kind: 'session' });
  });

  it('shares a failure among its waiters, and pauses later callers', async () => {
    const slow = Promise.withResolvers<SignInAnswer>();
    const begun = Promise.withResolvers<void>();
    const leading = store('w1').renew(null, prints, () => {
      begun.resolve();
      return slow.promise;
    });
    await begun.promise;
    const waiters = [watched('w2'), watched('w3')];
    const waiting = waiters.map(({ store: each }) => each.renew(null, prints, never));
    // The second call was paused by the first failure.
    for (const { scripts } of waiters) await expect.poll(() => scripts.run).toBeGreaterThan(1);
    slow.resolve(failing);
    for (const each of [leading, ...waiting]) expect(await each).toEqual(failing);
    expect(await store('w4').renew(null, prints, never)).toMatchObject({ kind: 'paused' });
    // A person ends the pause.
    await store().forgetRefusal();
    expect(await store('w4').renew(null, prints, signInWith('up again').signIn)).toMatchObject({
      kind: 'session',
    });
  });

  it('triples the pause after each failure in a row, and ends it after a success', async () => {
    const pauses: number[] = [];
    for (let tries = 0; tries < 6; tries += 1) {
      expect(await store().renew(null, prints, async () => failing)).toEqual(failing);
      const paused = await elsewhere('w2').renew(null, prints, never);
      assert(paused.kind === 'paused');
      pauses.push(paused.forMs);
      await redis.hset(`${root}:session:failure`, 'until', 0);
    }
    for (const [index, most] of [5_000, 15_000, 45_000, 135_000, 300_000, 300_000].entries()) {
      expect(pauses[index]).toBeLessThanOrEqual(most);
      expect(pauses[index]).toBeGreaterThan(most - 5_000);
    }
    const { session } = (await store().renew(null, prints, signInWith('good').signIn)) as {
      session: Session;
    };
    await store().clear(session.id);
    expect(await store().renew(null, prints, signInWith('again').signIn)).toMatchObject({ kind: 'session' });
  });

  it('waits as long as the upstream requested', async () => {
    await store().renew(null, prints, async () => ({ ...failing, waitMs: 77_000 }));
    const paused = await elsewhere('w2').renew(null, prints, never);
    assert(paused.kind === 'paused');
    expect(paused.forMs).toBeGreaterThan(70_000);
  });

  it('tries refused credentials again after 15 minutes, then every hour', async () => {
    const refusal = `${root}:session:refusal`;
    const one = store();
    const dueIn = async () => {
      expect(await one.refusalIsDue()).toBe(false);
      const [now] = await redis.time();
      const minutes = (Number(await redis.hget(refusal, 'until')) / 1_000 - Number(now)) / 60;
      await redis.hset(refusal, 'until', 0);
      expect(await one.refusalIsDue()).toBe(true);
      return Math.round(minutes);
    };
    await one.renew(null, prints, async () => refusing);
    expect(await dueIn()).toBe(15);
    expect(await one.renew(null, prints, async () => refusing)).toMatchObject({ remembered: false });
    expect(await dueIn()).toBe(60);
    expect(await one.renew(null, prints, signInWith('good').signIn)).toMatchObject({ kind: 'session' });
    // A hold that outlives its refusal must not last until a person comes.
    expect(await one.refusalIsDue()).toBe(true);
  });

  it('sends credentials at most five times in 15 minutes in the whole fleet', async () => {
    const stores = Array.from({ length: 4 }, (_, index) => elsewhere(`w${index}`));
    const taken = await Promise.all([...stores, ...stores].map(({ budget }) => budget.take()));
    const granted = taken.filter(({ kind }) => kind === 'go');
    expect(granted).toHaveLength(5);
    for (const one of taken) if (one.kind === 'wait') expect(one.forMs).toBeLessThanOrEqual(900_000);
    // A sign-in that was never sent is returned.
    const [first] = granted;
    assert(first?.kind === 'go');
    await store().budget.giveBack(first.ticket);
    expect((await store().budget.take()).kind).toBe('go');
    expect((await store().budget.take()).kind).toBe('wait');
  });

  it('passes an error of the sign-in on and frees the lock', async () => {
    await expect(store().renew(null, prints, never)).rejects.toThrow('must not sign in');
    await store().forgetRefusal();
    expect(await store().renew(null, prints, signInWith('fine').signIn)).toMatchObject({ kind: 'session' });
  });
});

describe('changes by a person', () => {
  it('saves rotated data only while that session is current', async () => {
    const one = store('w1');
    await one.renew(null, prints, signInWith('first').signIn);
    const first = await one.load();
    await elsewhere('w2').renew(first, prints, signInWith('second').signIn);
    expect(await one.rotate(first?.id ?? '', 'too late')).toBe(false);
    expect(await one.load()).toMatchObject({ data: 'second' });
  });

  it('stores an interactive sign-in and ends what was pending', async () => {
    const one = store('w1');
    await one.renew(null, prints, async () => refusing);
    await one.pending.save({ step: 'code sent' }, 60_000);
    expect(await elsewhere('w2').pending.load()).toEqual({ step: 'code sent' });
    expect(await redis.get(`${root}:session:pending`)).not.toContain('code sent');
    await one.store({ token: 'by hand' });
    expect(await elsewhere('w3').load()).toMatchObject({ revision: 1, data: { token: 'by hand' } });
    expect(await one.pending.load()).toBeNull();
    expect(await one.refusal()).toBeNull();
  });

  it.each<[string, SignInAnswer]>([
    ['signed in', { kind: 'signed-in', data: 'by machine' }],
    ['was refused', refusing],
    ['failed', failing],
  ])('lets a person who signs in win over a renewal that then %s', async (_how, answer) => {
    const renewing = store('w1');
    const stale = await renewing.store('old');
    const slow = Promise.withResolvers<SignInAnswer>();
    const begun = Promise.withResolvers<void>();
    const renewal = renewing.renew(stale, prints, () => {
      begun.resolve();
      return slow.promise;
    });
    await begun.promise;
    const waiting = elsewhere('w2').renew(stale, prints, never);
    const person = await elsewhere('w3').store('by hand');
    expect(await waiting).toMatchObject({ kind: 'session', session: { id: person.id } });
    slow.resolve(answer);
    expect(await renewal).toMatchObject({ kind: 'session', session: { id: person.id } });
    expect(await store('w4').load()).toMatchObject({ id: person.id, data: 'by hand' });
    expect(await store('w4').refusal()).toBeNull();
  });

  it('clears the session, with an id only that one', async () => {
    const one = store();
    const session = await one.store('data');
    await one.clear('another id');
    expect(await store().load()).not.toBeNull();
    await one.clear(session.id);
    expect(await one.load()).toBeNull();
  });

  it('touches only keys of its own root', async () => {
    const one = store();
    await one.renew(null, prints, async () => failing);
    await one.renew(null, prints, async () => refusing);
    await one.store('data');
    await one.pending.save('pending', 60_000);
    await one.pending.claimCode('ticket', 60_000);
    const keys = await redis.keys(`*${root}*`);
    expect(keys).not.toEqual([]);
    expect(keys.filter((key) => !key.startsWith(`${root}:session`))).toEqual([]);
  });
});

describe('the claim to a code', () => {
  it('is given to one of many parallel callers', async () => {
    const stores = Array.from({ length: 8 }, (_, index) => elsewhere(`w${index}`));
    const waits = await Promise.all(stores.map((each, index) => each.pending.claimCode(`${index}`, 60_000)));
    expect(waits.filter((waitMs) => waitMs === 0)).toHaveLength(1);
    for (const waitMs of waits.filter((each) => each !== 0)) {
      expect(waitMs).toBeGreaterThan(0);
      expect(waitMs).toBeLessThanOrEqual(60_000);
    }
  });

  it('can be extended or released by its holder only', async () => {
    const { pending } = store();
    const other = elsewhere('w2').pending;
    expect(await pending.claimCode('mine', 60_000)).toBe(0);
    expect(await pending.claimCode('mine', 30_000)).toBe(0);
    expect(await other.claimCode('yours', 60_000)).toBeLessThanOrEqual(30_000);
    await other.releaseCode('yours');
    expect(await other.claimCode('yours', 60_000)).toBeGreaterThan(0);
    await pending.releaseCode('mine');
    expect(await other.claimCode('yours', 60_000)).toBe(0);
  });

  it('expires', async () => {
    const { pending } = store();
    await pending.claimCode('dead', 30);
    await expect.poll(() => pending.claimCode('living', 30)).toBe(0);
  });
});

describe('credentialsFingerprint', () => {
  it('distinguishes credentials without revealing them', () => {
    const one = credentialsFingerprint('user', 'password');
    expect(one).toBe(credentialsFingerprint('user', 'password'));
    expect(one).not.toBe(credentialsFingerprint('user', 'Password'));
    expect(one).not.toBe(credentialsFingerprint('user2', 'password'));
    expect(one).not.toContain('password');
  });
});
