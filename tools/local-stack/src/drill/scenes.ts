/** The scenes of `npm run drill`. Each runs on a fresh stack and ends with a ledger. */
import { startTcpProxy } from '../process/tcp-proxy.ts';
import type { Stage } from './stage.ts';

export type Scene = {
  readonly name: string;
  readonly title: string;
  readonly workers: number;
  /** Environment of the stack. Its times are short, so that a drill takes seconds. */
  readonly env: Readonly<Record<string, string>>;
  play(stage: Stage): Promise<void>;
};

const short = {
  CROSSMARK_BREAKER_RESET_MS: '3000',
  CROSSMARK_BACKOFF_BASE_MS: '300',
  READ_BACK_WAITS_MS: '1000,3000,6000',
};

export const scenes: readonly Scene[] = [
  {
    name: 'outage',
    title: 'Crossmark goes down under traffic and recovers',
    workers: 2,
    env: short,
    async play(stage) {
      stage.say('Crossmark is up. Posting 20 visits');
      await stage.post(20);
      await stage.drained();
      stage.say('Crossmark goes down: it answers 503 to every request. Posting 200 visits');
      await stage.down([{ kind: 'status', status: 503 }]);
      await stage.post(200);
      await stage.until('the breaker opens', ({ breaker }) => breaker.state === 'open');
      stage.say('The breaker is open and the queue is paused. Posting 30 visits');
      await stage.post(30);
      await stage.until('two probes fail', async ({ breaker }) => breaker.generation >= 5);
      stage.say('Crossmark is up again. Recovery is automatic');
      await stage.up();
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
  {
    name: 'brown-out',
    title: 'Crossmark answers half of all requests with an error',
    workers: 2,
    env: short,
    async play(stage) {
      stage.say('Crossmark answers 500 to every second request. Posting 200 reads');
      await stage.down([{ kind: 'status', status: 500, probability: 0.5 }]);
      await stage.post(200, 'reads');
      await stage.until('the breaker opens', ({ breaker }) => breaker.generation > 0);
      await stage.until('the breaker probes and opens again', ({ breaker }) => breaker.generation >= 3);
      stage.say('Crossmark works again');
      await stage.up();
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
  {
    name: 'slow',
    title: 'Crossmark hangs: every attempt times out',
    workers: 2,
    env: { ...short, CROSSMARK_TIMEOUT_MS: '1000' },
    async play(stage) {
      stage.say('Crossmark answers nothing. The timeout is 1 s. Posting 100 visits');
      await stage.down([{ kind: 'hang' }]);
      await stage.post(100);
      await stage.until('the breaker opens', ({ breaker }) => breaker.state === 'open');
      await stage.until('a probe fails', ({ breaker }) => breaker.generation >= 3);
      stage.say('Crossmark answers again');
      await stage.up();
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
  {
    name: 'sick-worker',
    title: 'One of three workers loses its network',
    workers: 2,
    env: short,
    async play(stage) {
      await using proxy = await startTcpProxy(Number(new URL(stage.stack.urls.simulator).port));
      stage.say(
        'Starting a third worker. It reaches Crossmark only through a proxy, which fails under traffic',
      );
      await stage.stack.addWorker({ CROSSMARK_BASE_URL: `http://127.0.0.1:${proxy.port}/crossmark` });
      await stage.api.faults([{ kind: 'latency', ms: 50 }]);
      await stage.post(60);
      proxy.break();
      stage.downFrom = Date.now();
      await stage.post(400);
      await stage.drained();
      stage.say('All calls have ended and the breaker stayed closed. The proxy works again');
      stage.downTo = Date.now();
      proxy.mend();
      await stage.until(
        'all three workers make calls again',
        ({ workers, setAside }) => workers === 3 && setAside === 0,
      );
      await stage.post(60);
      await stage.drained();
    },
  },
  {
    name: 'capacity',
    title: '300 waiting calls meet an upstream that takes six requests at once',
    workers: 3,
    env: short,
    async play(stage) {
      await stage.down([{ kind: 'status', status: 503 }]);
      await stage.post(300, 'reads');
      await stage.until('the breaker opens', ({ breaker }) => breaker.state === 'open');
      stage.say('Crossmark is up, but answers 503 to more than six requests at once');
      stage.downTo = Date.now();
      await stage.api.faults([
        { kind: 'latency', ms: 100 },
        { kind: 'capacity', limit: 6, status: 503 },
      ]);
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
  {
    name: 'lease',
    title: 'The worker that runs the probe is killed',
    workers: 2,
    env: short,
    async play(stage) {
      await stage.down([{ kind: 'status', status: 503 }]);
      await stage.post(50);
      await stage.until('the breaker opens', ({ breaker }) => breaker.state === 'open');
      stage.say('Crossmark answers after 4 s: long enough to kill the worker that runs the probe');
      await stage.api.faults([{ kind: 'latency', ms: 4_000 }]);
      let holder = '';
      await stage.until('a probe runs', ({ breaker, holds }) => {
        holder = holds.find(({ kind }) => kind === 'breaker')?.owner ?? '';
        return breaker.state === 'half_open' && holder !== '';
      });
      const victim = stage.stack.workers.find(({ pid }) => holder.includes(`-${pid}-`));
      if (!victim) throw new Error(`The probe is run by ${holder}, which is no worker of this stack`);
      await stage.stack.kill(victim);
      const killedAt = Date.now();
      await stage.up();
      await stage.until(
        'the other worker takes over the probe',
        ({ breaker }) => breaker.state === 'closed' || (breaker.permits ?? 0) > 0,
      );
      stage.say(
        `The other worker took over after ${((Date.now() - killedAt) / 1000).toFixed(1)} s. The lease is 15 s`,
      );
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
];
