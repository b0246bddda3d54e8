/**
 * One upstream under the contract: its client, for any number of workers, against the simulator on loopback, with the
 * fleet's session in Redis under its own prefix.
 *
 * No deadline depends on the clock: the deadline of an attempt or a sign-in passes when the upstream stays silent on one
 * of its requests. Logs, outcomes and Redis are searched for secrets.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createSealer } from '@recloser/runtime/secrets/seal';
import type { Fault } from '@recloser/simulator/faults';
import type { LedgerEntry } from '@recloser/simulator/ledger';
import type { Upstream } from '@recloser/simulator/upstream';
import { createClient } from '@recloser/upstreams/clients';
import type { Example } from '@recloser/upstreams/contract/examples';
import { upstreamSettings } from '@recloser/upstreams/contract/settings';
import type {
  OperationDefinition,
  Outcome,
  SignInStep,
  UpstreamClient,
  UpstreamDefinition,
  Verification,
} from '@recloser/upstreams/contract/upstream';
import { definitions, type UpstreamName } from '@recloser/upstreams/definitions';
import { SessionStore } from '@recloser/upstreams/session/store';
import { Redis } from 'ioredis';
import { assert, expect, inject } from 'vitest';
import { startSimulator, type TestSimulator } from '../support/simulator.ts';
import { passClientDeadlines, timeIsUp } from './deadlines.ts';
import { Evidence } from './evidence.ts';
import { examples } from './examples.ts';
import { redisContents } from './redis-contents.ts';
import { SilenceWatch } from './silence.ts';

/** A worker's client and its view of the fleet's session. */
export type Worker = { readonly client: UpstreamClient; readonly sessions: SessionStore };

/** The outcome of one attempt, and the requests that reached the upstream meanwhile. */
export type Attempted = {
  readonly outcome: Outcome;
  /** The requests for this operation during the attempt. */
  readonly requests: readonly LedgerEntry[];
  /** How often the sending mark was stored. */
  readonly marks: number;
};

/** `signal` replaces the attempt's deadline. */
type RunOptions = { readonly worker?: Worker; readonly signal?: AbortSignal };

let serial = 0;

export class Rig {
  readonly name: UpstreamName;
  readonly definition: UpstreamDefinition;
  /** A read operation for any test. */
  readonly reading: OperationDefinition;
  readonly simulator: TestSimulator;
  readonly upstream: Upstream;
  readonly redis: Redis;
  readonly root: string;
  readonly workers: Worker[] = [];
  readonly password = `Sesame-${randomUUID()}`;
  /** Which deadline passes first when the upstream stays silent on a sign-in: the sign-in's or the attempt's. */
  firstToGiveUp: 'sign-in' | 'attempt' = 'sign-in';
  readonly #sealer = createSealer(randomBytes(32));
  readonly #evidence = new Evidence();
  readonly #silence: SilenceWatch;
  readonly #env: Readonly<Record<string, string>>;
  /** The deadlines of the running attempts. */
  readonly #times = new Set<AbortController>();
  #signInIsOverdue = false;
  #nextSilence = Promise.withResolvers<void>();
  #started = 0;
  #running = 0;

  private constructor(name: UpstreamName, simulator: TestSimulator, env: Readonly<Record<string, string>>) {
    this.name = name;
    this.definition = definitions[name];
    this.reading = readingOf(this.definition);
    this.simulator = simulator;
    this.upstream = simulator.upstream(name);
    this.redis = new Redis(inject('redisUrl'));
    this.root = `test-${randomUUID()}:{${name}}`;
    this.#env = env;
    this.#silence = new SilenceWatch(this.upstream, (operation) => this.#fellSilent(operation));
    this.upstream.simulation.change({ password: this.password });
  }

  /** @param env changed settings, without the upstream's prefix: `{PASSWORD: 'wrong'}` */
  static async start(name: UpstreamName, env: Readonly<Record<string, string>> = {}): Promise<Rig> {
    const rig = new Rig(name, await startSimulator(), env);
    rig.addWorker();
    return rig;
  }

  get worker(): Worker {
    return this.workers[0] as Worker;
  }

  /** Adds a worker to the fleet. `env` overrides the rig's. */
  addWorker(env: Readonly<Record<string, string>> = {}): Worker {
    const { redis, root } = this;
    const values: Record<string, string> = {
      BASE_URL: `${this.simulator.url}/${this.name}`,
      LOGIN_BASE_URL: `${this.simulator.url}/${this.name}${this.upstream.simulation.hasLoginHost ? '-login' : ''}`,
      PASSWORD: this.password,
      ...this.#env,
      ...env,
    };
    const prefixed = Object.entries(values).map(([key, value]) => [
      `${this.definition.envPrefix}_${key}`,
      value,
    ]);
    const settings = upstreamSettings(this.definition, Object.fromEntries(prefixed));
    const worker = `worker-${this.workers.length + 1}`;
    // Many sessions end in one test; how often a fleet may sign in has tests of its own.
    const pace = { signIns: 1_000_000 };
    const sessions = new SessionStore({ redis, root, sealer: this.#sealer, worker, pollMs: 10, pace });
    const client = createClient(this.name, { settings, sessions, log: this.#evidence.log() });
    this.workers.push({ client, sessions });
    return { client, sessions };
  }

  /** Returns the nth example input of an operation, after creating what it requires upstream. */
  async input(operation: string, n = this.nextNumber()): Promise<object> {
    const ofUpstream: Readonly<Record<string, Example>> = examples[this.name].operations;
    const example = ofUpstream[operation];
    if (!example) throw new Error(`test/contract/examples.ts has no example for ${this.name}/${operation}`);
    return example(n, async (earlier, input) => {
      const { outcome } = await this.run(earlier, input);
      if (outcome.kind !== 'done') throw new Error(`${earlier} did not work: ${JSON.stringify(outcome)}`);
      return outcome.result as Record<string, unknown>;
    });
  }

  /** Unique, so that no two calls use the same item. */
  nextNumber(): number {
    serial += 1;
    return serial;
  }

  /** Returns a function that lists the requests which have reached the upstream since this call. */
  fromNow(): () => readonly LedgerEntry[] {
    const from = this.upstream.ledger.requests().length;
    return () => this.upstream.ledger.requests().slice(from);
  }

  /** Makes one attempt, like a worker. Rejects only if the client does. */
  async run(operation: string, input: unknown, options: RunOptions = {}): Promise<Attempted> {
    const { worker = this.worker } = options;
    const arrived = this.fromNow();
    const sent = () => arrived().filter((entry) => entry.operation === operation);
    let marks = 0;
    const sentBeforeMark: LedgerEntry[] = [];
    const onSending = async () => {
      marks += 1;
      if (marks === 1) sentBeforeMark.push(...sent());
    };
    this.#started += 1;
    const number = this.#started;
    const beganAlone = this.#running === 0;
    this.#running += 1;
    const attempt = this.#inItsTime(options, (signal) =>
      worker.client.run(operation, input, { signal, onSending }),
    );
    const outcome = await attempt.finally(() => {
      this.#running -= 1;
    });
    this.#evidence.keep(outcome);
    // With concurrent attempts, the ledger does not show whose request is whose.
    const alone = beganAlone && this.#started === number;
    const unsafe = this.definition.operations[operation]?.effect === 'unsafe';
    if (unsafe && alone) {
      expect(sentBeforeMark, 'something was sent before the sending mark was stored').toEqual([]);
      if (sent().length > 0) expect(marks, 'an unsafe request was sent without a mark').toBeGreaterThan(0);
    }
    if (outcome.kind === 'done' && this.definition.operations[operation]?.sealedResult) {
      this.#evidence.keepPersonal(outcome.result);
    }
    return { outcome, requests: sent(), marks };
  }

  /** One read-back. */
  async verify(operation: string, input: unknown, options: RunOptions = {}): Promise<Verification> {
    const { worker = this.worker } = options;
    const verification = await this.#inItsTime(options, (signal) =>
      worker.client.verify(operation, input, { signal, onSending: async () => {} }),
    );
    this.#evidence.keep(verification);
    return verification;
  }

  /** The breaker's probe. */
  async probe(options: Pick<RunOptions, 'signal'> = {}) {
    return this.#inItsTime(options, async (signal) =>
      this.worker.client.probe?.({ signal, onSending: async () => {} }),
    );
  }

  /** Does what a person must do before calls can be made: sign in, or unlock the account. */
  async signIn(): Promise<void> {
    if (this.definition.signIn === 'password') {
      await this.worker.sessions.forgetRefusal();
      return;
    }
    // As if the last text message was long ago.
    await this.redis.del(`${this.root}:session:code-claim`);
    assert.deepEqual(await this.signInStep({ step: 'send-code' }), { kind: 'code-sent' });
    const { signInCode = '' } = examples[this.name];
    assert.deepEqual(await this.signInStep({ step: 'verify', code: signInCode }), { kind: 'signed-in' });
  }

  /** Repeats `signIn` until it works, which uses up faults that affect it. */
  async signInWhateverItTakes(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.signIn();
      } catch (error) {
        if (tries === 40) throw error;
      }
    }
  }

  signInStep(step: SignInStep) {
    this.#endOverdueSignIn();
    return this.worker.client.signInStep?.(step, new AbortController().signal);
  }

  /** Prepares for calls: no faults, no pending request, a session, an open connection. */
  async ready(): Promise<void> {
    this.faults([]);
    this.upstream.interrupt();
    const { name } = this.reading;
    const input = await this.input(name);
    if ((await this.run(name, input)).outcome.kind === 'done') return;
    await this.signIn();
    const { outcome } = await this.run(name, input);
    assert(outcome.kind === 'done', `${this.name} does not work without faults: ${JSON.stringify(outcome)}`);
  }

  faults(faults: readonly Fault[], seed?: number): void {
    this.simulator.faults(this.name, faults, seed);
  }

  /** Resolves when the upstream stays silent on a request that arrives after this call. */
  nextSilence(): Promise<void> {
    return this.#nextSilence.promise;
  }

  /** Waits until the upstream has finished requests whose client has disconnected. */
  async upstreamAtRest(): Promise<void> {
    this.#endOverdueSignIn();
    await this.#silence.workEnded();
  }

  /** Fails if a secret is found in logs, outcomes or Redis. */
  async assertNothingSpilt(): Promise<void> {
    const spilt = this.#evidence.search({
      secrets: [...this.simulator.secrets, this.password],
      signInCode: examples[this.name].signInCode,
      redis: await redisContents(this.redis, this.root),
    });
    assert.deepEqual(spilt, []);
  }

  /** Stops everything, after a last search for secrets. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.assertNothingSpilt();
    } finally {
      for (const { client } of this.workers) await client.close();
      await this.simulator.stop();
      const keys = await this.redis.keys(`${this.root}*`);
      if (keys.length > 0) await this.redis.del(keys);
      this.redis.disconnect();
    }
  }

  async #inItsTime<T>({ signal }: RunOptions, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#endOverdueSignIn();
    if (signal) return attempt(signal);
    const time = new AbortController();
    this.#times.add(time);
    return attempt(time.signal).finally(() => this.#times.delete(time));
  }

  #fellSilent(operation: string): void {
    this.#nextSilence.resolve();
    this.#nextSilence = Promise.withResolvers();
    const signingIn = !Object.hasOwn(this.definition.operations, operation);
    if (signingIn && (this.firstToGiveUp === 'sign-in' || this.#times.size === 0)) {
      passClientDeadlines();
      return;
    }
    this.#signInIsOverdue ||= signingIn;
    for (const time of this.#times) timeIsUp(time);
  }

  /** A sign-in that outlasts its attempt ends once the next attempt waits for it. */
  #endOverdueSignIn(): void {
    if (this.#signInIsOverdue) setImmediate(passClientDeadlines);
    this.#signInIsOverdue = false;
  }
}

/** The last read, because the earlier ones return more data. */
function readingOf({ name, operations }: UpstreamDefinition): OperationDefinition {
  const reading = Object.values(operations).findLast(({ effect }) => effect === 'read');
  if (!reading) throw new Error(`${name} has no read`);
  return reading;
}
