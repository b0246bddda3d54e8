/**
 * One upstream under the contract: its real client (as many workers as asked for) against the real simulator
 * over loopback, with the fleet's session in a real Redis under a prefix of its own.
 *
 * Always true: no deadline passes by the clock. An attempt's time is up when the upstream stays silent on a request
 * of it, a sign-in's when the upstream stays silent on a request of that. Everything a client logs and every outcome
 * it gives is searched for secrets, and so is every key and value that Redis holds under the prefix.
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

/** A worker as far as an upstream can tell: a client and its own view of the fleet's session. */
export type Worker = { readonly client: UpstreamClient; readonly sessions: SessionStore };

/** What one attempt came to, and what reached the upstream meanwhile. */
export type Attempted = {
  readonly outcome: Outcome;
  /** The upstream's requests during the attempt that were for this operation. */
  readonly requests: readonly LedgerEntry[];
  /** How often the sending mark was stored. */
  readonly marks: number;
};

/** `signal`: in place of the attempt's own time, which is then unlimited. */
type RunOptions = { readonly worker?: Worker; readonly signal?: AbortSignal };

let serial = 0;

export class Rig {
  readonly name: UpstreamName;
  readonly definition: UpstreamDefinition;
  /** A read that any test may use. */
  readonly reading: OperationDefinition;
  readonly simulator: TestSimulator;
  readonly upstream: Upstream;
  readonly redis: Redis;
  readonly root: string;
  readonly workers: Worker[] = [];
  readonly password = `Sesame-${randomUUID()}`;
  /** Whose time is up first when the upstream stays silent on a sign-in: the sign-in's, or the attempt's before it. */
  firstToGiveUp: 'sign-in' | 'attempt' = 'sign-in';
  readonly #sealer = createSealer(randomBytes(32));
  readonly #evidence = new Evidence();
  readonly #silence: SilenceWatch;
  readonly #env: Readonly<Record<string, string>>;
  /** The time of the attempts that are being made. */
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

  /** @param env changes of its settings, without the upstream's prefix: `{PASSWORD: 'wrong'}` */
  static async start(name: UpstreamName, env: Readonly<Record<string, string>> = {}): Promise<Rig> {
    const rig = new Rig(name, await startSimulator(), env);
    rig.addWorker();
    return rig;
  }

  get worker(): Worker {
    return this.workers[0] as Worker;
  }

  /** One more worker of the same fleet. `env` wins over the rig's. */
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

  /** The nth example input of an operation; what must stand upstream before is put there. */
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

  /** Never the same twice, so that no two calls are about the same item. */
  nextNumber(): number {
    serial += 1;
    return serial;
  }

  /** What reaches the upstream from now on. */
  fromNow(): () => readonly LedgerEntry[] {
    const from = this.upstream.ledger.requests().length;
    return () => this.upstream.ledger.requests().slice(from);
  }

  /** One attempt, as a worker makes it. Rejects only if the client does. */
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
    // Beside others the ledger does not tell whose requests it lists.
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

  /** The breaker's question whether the upstream works again. */
  async probe(options: Pick<RunOptions, 'signal'> = {}) {
    return this.#inItsTime(options, async (signal) =>
      this.worker.client.probe?.({ signal, onSending: async () => {} }),
    );
  }

  /** Whatever a person has to do before calls can be made: with a password, to see to the account. */
  async signIn(): Promise<void> {
    if (this.definition.signIn === 'password') {
      await this.worker.sessions.forgetRefusal();
      return;
    }
    // As if the last message had been long enough ago.
    await this.redis.del(`${this.root}:session:code-claim`);
    assert.deepEqual(await this.signInStep({ step: 'send-code' }), { kind: 'code-sent' });
    const { signInCode = '' } = examples[this.name];
    assert.deepEqual(await this.signInStep({ step: 'verify', code: signInCode }), { kind: 'signed-in' });
  }

  /** A person who tries until it works, with the faults that meet the sign-in used up on the way. */
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

  /** Ready for calls: no faults, nothing that hangs, a session, a warm connection. */
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

  /** Resolves when the upstream stays silent on a request that arrives from now on. */
  nextSilence(): Promise<void> {
    return this.#nextSilence.promise;
  }

  /** Waits for what the upstream may still do with requests whose client has gone. */
  async upstreamAtRest(): Promise<void> {
    this.#endOverdueSignIn();
    await this.#silence.workEnded();
  }

  /** Fails when a secret is where it must not be. */
  async assertNothingSpilt(): Promise<void> {
    const spilt = this.#evidence.search({
      secrets: [...this.simulator.secrets, this.password],
      signInCode: examples[this.name].signInCode,
      redis: await redisContents(this.redis, this.root),
    });
    assert.deepEqual(spilt, []);
  }

  /** Ends it, after a last look for secrets. */
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

  /** A sign-in that outlasted its attempt ends when the next one has begun to wait for it. */
  #endOverdueSignIn(): void {
    if (this.#signInIsOverdue) setImmediate(passClientDeadlines);
    this.#signInIsOverdue = false;
  }
}

/** The last one, because those before it answer with more. */
function readingOf({ name, operations }: UpstreamDefinition): OperationDefinition {
  const reading = Object.values(operations).findLast(({ effect }) => effect === 'read');
  if (!reading) throw new Error(`${name} has no read`);
  return reading;
}
