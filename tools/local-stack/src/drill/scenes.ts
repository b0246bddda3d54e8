/** The scenes of `npm run drill`. Each plays on a fresh stack and ends with a ledger. */
import { startTcpProxy } from '../process/tcp-proxy.ts';
import type { Stage } from './stage.ts';

export type Scene = {
  readonly name: string;
  readonly title: string;
  readonly workers: number;
  /** Environment of the stack; short times, so that a drill takes seconds and not minutes. */
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
    title: 'Crossmark goes down under traffic and comes back',
    workers: 2,
    env: short,
    async play(stage) {
      stage.say('20 visits while all is well');
      await stage.post(20);
      await stage.drained();
      stage.say('Crossmark goes down: 503 to everything; 200 more visits are posted');
      await stage.down([{ kind: 'status', status: 503 }]);
      await stage.post(200);
      await stage.until('the breaker opens', ({ breaker }) => breaker.state === 'open');
      stage.say('The breaker is open, the queue is held, posting goes on: 30 more');
      await stage.post(30);
      await stage.until('two trials failed', async ({ breaker }) => breaker.generation >= 5);
      stage.say('Crossmark is back; nobody presses anything');
      await stage.up();
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
  {
    name: 'brown-out',
    title: 'Half of all answers are errors for a while',
    workers: 2,
    env: short,
    async play(stage) {
      stage.say('200 reads while every second answer is a 500');
      await stage.down([{ kind: 'status', status: 500, probability: 0.5 }]);
      await stage.post(200, 'reads');
      await stage.until('the breaker opened', ({ breaker }) => breaker.generation > 0);
      await stage.until('it tried and opened again', ({ breaker }) => breaker.generation >= 3);
      stage.say('All is well again');
      await stage.up();
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
  {
    name: 'slow',
    title: 'Crossmark hangs: every attempt runs into its time limit',
    workers: 2,
    env: { ...short, CROSSMARK_TIMEOUT_MS: '1000' },
    async play(stage) {
      stage.say('100 visits while nothing is answered; the time limit is 1 s');
      await stage.down([{ kind: 'hang' }]);
      await stage.post(100);
      await stage.until('the breaker opens', ({ breaker }) => breaker.state === 'open');
      await stage.until('a trial failed', ({ breaker }) => breaker.generation >= 3);
      stage.say('It answers again');
      await stage.up();
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
  {
    name: 'sick-worker',
    title: 'One of three workers has lost its network; the other two are fine',
    workers: 2,
    env: short,
    async play(stage) {
      await using proxy = await startTcpProxy(Number(new URL(stage.stack.urls.simulator).port));
      stage.say('A third worker joins; its only way to Crossmark leads through a proxy, which breaks');
      await stage.stack.addWorker({ CROSSMARK_BASE_URL: `http://127.0.0.1:${proxy.port}/crossmark` });
      await stage.api.faults([{ kind: 'latency', ms: 50 }]);
      await stage.post(60);
      proxy.break();
      stage.downFrom = Date.now();
      await stage.post(400);
      await stage.drained();
      stage.say('Everything is done and the breaker stayed closed; the network is mended');
      stage.downTo = Date.now();
      proxy.mend();
      await stage.until(
        'all three take calls again',
        ({ workers, setAside }) => workers === 3 && setAside === 0,
      );
      await stage.post(60);
      await stage.drained();
    },
  },
  {
    name: 'capacity',
    title: '300 held calls, 30 places, and an upstream that takes six at once',
    workers: 3,
    env: short,
    async play(stage) {
      await stage.down([{ kind: 'status', status: 503 }]);
      await stage.post(300, 'reads');
      await stage.until('the breaker opens', ({ breaker }) => breaker.state === 'open');
      stage.say('Crossmark is back, but answers 503 to whatever is beyond six at once');
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
    title: 'The worker that holds the trial is killed',
    workers: 2,
    env: short,
    async play(stage) {
      await stage.down([{ kind: 'status', status: 503 }]);
      await stage.post(50);
      await stage.until('the breaker opens', ({ breaker }) => breaker.state === 'open');
      stage.say('Crossmark answers, but takes 4 s for it: long enough to kill the worker that probes');
      await stage.api.faults([{ kind: 'latency', ms: 4_000 }]);
      let holder = '';
      await stage.until('a probe runs', ({ breaker, holds }) => {
        holder = holds.find(({ kind }) => kind === 'breaker')?.owner ?? '';
        return breaker.state === 'half_open' && holder !== '';
      });
      const victim = stage.stack.workers.find(({ pid }) => holder.includes(`-${pid}-`));
      if (!victim) throw new Error(`No worker of this stack is ${holder}`);
      await stage.stack.kill(victim);
      const killedAt = Date.now();
      await stage.up();
      await stage.until(
        'the other worker takes the trial over',
        ({ breaker }) => breaker.state === 'closed' || (breaker.permits ?? 0) > 0,
      );
      stage.say(`Taken over after ${((Date.now() - killedAt) / 1000).toFixed(1)} s; the lease is 15 s`);
      await stage.drained();
      await stage.until('the breaker closes', ({ breaker }) => breaker.state === 'closed');
    },
  },
];
