/** What a scene runs on: the stack, the calls posted so far, and waits for expected states. */

import type { Stack } from '../stack/stack.ts';
import { type StackApi, type UpstreamView, visitInput } from '../stack/stack-api.ts';
import type { AcceptedCall } from './compare.ts';
import type { LiveView } from './live-view.ts';

const frameMs = 200;

type Wish = Omit<AcceptedCall, 'id'>;

/** Books the nth visit. */
const booking = (n: number): Wish => ({ operation: 'schedule-event', input: visitInput(n) });

/** Lists the reps for the nth visit's item. */
function reading(n: number): Wish {
  const { mPlanId = '', locationId = '' } = visitInput(n);
  return { operation: 'list-qualified-reps', input: { mPlanId, locationId } };
}

export class Stage {
  readonly api: StackApi;
  readonly stack: Stack;
  readonly accepted: AcceptedCall[] = [];
  refused = 0;
  downFrom: number | undefined;
  downTo: number | undefined;
  readonly #view: LiveView;
  readonly #startedAt = Date.now();
  #requests = 0;
  #turn = 0;

  constructor({ api, view, stack }: { api: StackApi; view: LiveView; stack: Stack }) {
    this.api = api;
    this.#view = view;
    this.stack = stack;
  }

  say(text: string): void {
    this.#view.say(text);
  }

  /** Posts calls, ten at a time. */
  async post(count: number, what: 'visits' | 'reads' = 'visits'): Promise<void> {
    const first = this.accepted.length + this.refused;
    const wish = what === 'visits' ? booking : reading;
    for (let n = first; n < first + count; n += 10) {
      const wave = Array.from({ length: Math.min(10, first + count - n) }, (_, i) =>
        this.#post(wish(n + i), `drill-${n + i}`),
      );
      await Promise.all(wave);
    }
  }

  async #post(wish: Wish, key: string): Promise<void> {
    const { operation, input } = wish;
    const { status, body } = await this.api.post(
      `crossmark/${operation}`,
      { input },
      { 'idempotency-key': key },
    );
    if (status === 202) this.accepted.push({ id: String(body.id), ...wish });
    else this.refused += 1;
  }

  /** Takes the upstream down with these faults and notes when. */
  async down(faults: readonly Record<string, unknown>[]): Promise<void> {
    await this.api.faults(faults);
    this.downFrom = Date.now();
  }

  async up(): Promise<void> {
    this.downTo = Date.now();
    await this.api.faults([]);
  }

  /** Redraws until the check passes. Throws after `limitMs`. */
  async until(
    what: string,
    check: (upstream: UpstreamView) => boolean | Promise<boolean>,
    limitMs = 120_000,
  ): Promise<void> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const upstream = await this.api.upstream();
      // The simulator's ledger is too large to read for every frame.
      if (this.#turn % 5 === 0) this.#requests = (await this.api.ledger()).requests.length;
      this.#turn += 1;
      this.#view.draw({
        upstream,
        posted: this.accepted.length,
        requests: this.#requests,
        elapsedMs: Date.now() - this.#startedAt,
      });
      if (await check(upstream)) return;
      if (Date.now() > deadline) throw new Error(`Not within ${limitMs / 1000} s: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, frameMs));
    }
  }

  /** Resolves when the queue is empty. */
  async drained(): Promise<void> {
    await this.until(
      'the queue is empty',
      ({ queue }) => queue.waiting + queue.active + queue.overdue + queue.delayed === 0,
    );
  }
}
