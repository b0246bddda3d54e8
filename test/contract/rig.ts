/**
 * One upstream under the contract: its real client (as many workers as asked for) against the real simulator
 * over loopback, with the fleet's session in a real Redis under a prefix of its own.
 *
 * Always true: everything a client writes to its log, and every outcome it gave, is kept; `secretsSpilt` looks
 * for secrets in all of it and in every key and value that Redis holds under the prefix.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createLogger } from '@recloser/runtime/logger';
import { createSealer } from '@recloser/runtime/seal';
import type { Fault } from '@recloser/simulator/faults';
import type { LedgerEntry } from '@recloser/simulator/ledger';
import type { Upstream } from '@recloser/simulator/upstream';
import { createClient } from '@recloser/upstreams/clients';
import { definitions, type UpstreamName } from '@recloser/upstreams/definitions';
import type { Example } from '@recloser/upstreams/examples';
import { SessionStore } from '@recloser/upstreams/session-store';
import { upstreamSettings } from '@recloser/upstreams/settings';
import type {
  AttemptContext,
  Outcome,
  SignInStep,
  UpstreamClient,
  UpstreamDefinition,
  Verification,
} from '@recloser/upstreams/upstream';
import { Redis } from 'ioredis';
import { expect, vi } from 'vitest';
import { startSimulator, type TestSimulator } from '../support/simulator.ts';
import { examples } from './examples.ts';
import { allStrings, redisContents } from './redis-contents.ts';

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

type RunOptions = { readonly worker?: Worker; readonly timeoutMs?: number; readonly signal?: AbortSignal };

/** Plenty, also on a busy machine: only tests of timeouts give less. */
const patienceMs = 15_000;

let serial = 0;

export class Rig {
  readonly name: UpstreamName;
  readonly definition: UpstreamDefinition;
  readonly simulator: TestSimulator;
  readonly upstream: Upstream;
  readonly redis: Redis;
  readonly root: string;
  readonly workers: Worker[] = [];
  readonly outcomes: (Outcome | Verification)[] = [];
  readonly password = `Sesame-${randomUUID()}`;
  readonly #sealer = createSealer(randomBytes(32));
  /** What clients handed to the log, and what pino made of it. */
  readonly #raw: string[] = [];
  readonly #lines: string[] = [];
  readonly #env: Readonly<Record<string, string>>;
  readonly #personal = new Set<string>();
  #started = 0;
  #running = 0;

  private constructor(
    name: UpstreamName,
    simulator: TestSimulator,
    redisUrl: string,
    env: Readonly<Record<string, string>>,
  ) {
    this.name = name;
    this.definition = definitions[name];
    this.simulator = simulator;
    this.upstream = simulator.upstream(name);
    this.redis = new Redis(redisUrl);
    this.root = `test-${randomUUID()}:{${name}}`;
    this.#env = env;
    this.upstream.simulation.change({ password: this.password });
  }

  /** @param env changes of its settings, without the upstream's prefix: `{TIMEOUT_MS: '800'}` */
  static async start(
    name: UpstreamName,
    { redisUrl, env = {} }: { redisUrl: string; env?: Readonly<Record<string, string>> },
  ): Promise<Rig> {
    const rig = new Rig(name, await startSimulator(), redisUrl, env);
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
    const sessions = new SessionStore({ redis, root, sealer: this.#sealer, worker, pollMs: 10 });
    const client = createClient(this.name, { settings, sessions, log: this.#log() });
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

  /** One attempt, as a worker makes it. Rejects only if the client does. */
  async run(operation: string, input: unknown, options: RunOptions = {}): Promise<Attempted> {
    const { worker = this.worker } = options;
    const from = this.upstream.ledger.requests().length;
    const sent = () =>
      this.upstream.ledger
        .requests()
        .slice(from)
        .filter((entry) => entry.operation === operation);
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
    const attempt = worker.client.run(operation, input, { signal: signalOf(options), onSending });
    const outcome = await attempt.finally(() => {
      this.#running -= 1;
    });
    this.outcomes.push(outcome);
    // Beside others the ledger does not tell whose requests it lists.
    const alone = beganAlone && this.#started === number;
    const unsafe = this.definition.operations[operation]?.effect === 'unsafe';
    if (unsafe && alone) {
      expect(sentBeforeMark, 'something was sent before the sending mark was stored').toEqual([]);
      if (sent().length > 0) expect(marks, 'an unsafe request was sent without a mark').toBeGreaterThan(0);
    }
    if (outcome.kind === 'done' && this.definition.operations[operation]?.sealedResult) {
      for (const text of allStrings(outcome.result)) if (/[A-Za-z]{3}/.test(text)) this.#personal.add(text);
    }
    return { outcome, requests: sent(), marks };
  }

  /** One read-back. */
  async verify(operation: string, input: unknown, options: RunOptions = {}): Promise<Verification> {
    const { worker = this.worker } = options;
    const context: AttemptContext = { signal: signalOf(options), onSending: async () => {} };
    const verification = await worker.client.verify(operation, input, context);
    this.outcomes.push(verification);
    return verification;
  }

  /** Whatever a person has to do before calls can be made: nothing where a password is enough. */
  async signIn(): Promise<void> {
    if (this.definition.signIn === 'password') {
      // What an operator does who has seen to the account.
      await this.worker.sessions.forgetRefusal();
      return;
    }
    // As if the last message had been long enough ago.
    await this.redis.del(`${this.root}:session:code-claim`);
    expect(await this.signInStep({ step: 'send-code' })).toEqual({ kind: 'code-sent' });
    const { signInCode = '' } = examples[this.name];
    expect(await this.signInStep({ step: 'verify', code: signInCode })).toEqual({ kind: 'signed-in' });
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
    return this.worker.client.signInStep?.(step, AbortSignal.timeout(patienceMs));
  }

  /** Ready for calls without another sign-in: the session is there and the connection is warm. */
  async warmUp(): Promise<void> {
    await this.signIn();
    const [reading] = Object.values(this.definition.operations).filter(({ effect }) => effect === 'read');
    if (!reading) throw new Error(`${this.name} has no read to warm up with`);
    const input = await this.input(reading.name);
    // No fault is set yet: a busy machine may take longer than an attempt of a test has.
    await vi.waitFor(
      async () => {
        const { outcome } = await this.run(reading.name, input);
        expect(outcome.kind, JSON.stringify(outcome)).toBe('done');
      },
      { timeout: 10_000, interval: 50 },
    );
  }

  faults(faults: readonly Fault[], seed?: number): void {
    this.simulator.faults(this.name, faults, seed);
  }

  /** Every secret that is where it must not be, with the place. Empty is good. */
  async secretsSpilt(): Promise<string[]> {
    const secrets = [...this.simulator.secrets, this.password];
    const places = {
      outcome: this.outcomes
        .filter((one) => one.kind !== 'done' && one.kind !== 'applied')
        .map((one) => JSON.stringify(one)),
      'raw log': this.#raw,
      'log line': this.#lines,
      redis: await redisContents(this.redis, this.root),
    };
    const { signInCode } = examples[this.name];
    const spilt: string[] = [];
    for (const [place, texts] of Object.entries(places)) {
      for (const text of texts) {
        if (secrets.some((secret) => contains(text, secret))) spilt.push(`${place}: ${text.slice(0, 300)}`);
        const names = place === 'redis' ? [] : [...this.#personal];
        if (names.some((name) => text.includes(name)))
          spilt.push(`person in ${place}: ${text.slice(0, 300)}`);
        if (signInCode && new RegExp(`\\b${signInCode}\\b`).test(text))
          spilt.push(`code in ${place}: ${text.slice(0, 300)}`);
      }
    }
    return spilt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client } of this.workers) await client.close();
    await this.simulator.stop();
    const keys = await this.redis.keys(`${this.root}*`);
    if (keys.length > 0) await this.redis.del(keys);
    this.redis.disconnect();
  }

  #log() {
    const destination = { write: (line: string) => void this.#lines.push(line) };
    const pino = createLogger({ name: 'worker', level: 'trace', pretty: false, destination });
    return {
      info: (fields: object, message: string) => {
        this.#raw.push(JSON.stringify([fields, message]));
        pino.info(fields, message);
      },
      warn: (fields: object, message: string) => {
        this.#raw.push(JSON.stringify([fields, message]));
        pino.warn(fields, message);
      },
    };
  }
}

function signalOf({ timeoutMs = patienceMs, signal }: RunOptions): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

/** In the clear, and in the two encodings that a careless hand might think of. */
function contains(text: string, secret: string): boolean {
  const bytes = Buffer.from(secret);
  return [
    secret,
    encodeURIComponent(secret),
    bytes.toString('hex'),
    bytes.toString('base64').slice(0, -4),
  ].some((form) => form.length >= 12 && text.includes(form));
}
