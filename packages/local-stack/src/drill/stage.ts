/** Where a scene plays: the running stack, the calls posted so far, and waiting for what should happen. */

import type { Stack } from '../stack.ts';
import { type Answer, type StackApi, type UpstreamView, visitInput } from '../stack-api.ts';
import type { LiveView } from './live-view.ts';

const FRAME_MS = 200;

export class Stage {
  readonly api: StackApi;
  readonly stack: Stack;
  readonly ids: string[] = [];
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

  /** Posts calls, ten at a time: visits to book, or reads. */
  async post(count: number, what: 'visits' | 'reads' = 'visits'): Promise<void> {
    const first = this.ids.length + this.refused;
    const one = what === 'visits' ? (n: number) => this.#book(n) : (n: number) => this.#read(n);
    for (let n = first; n < first + count; n += 10) {
      const wave = Array.from({ length: Math.min(10, first + count - n) }, (_, i) => one(n + i));
      for (const { status, body } of await Promise.all(wave)) {
        if (status === 202) this.ids.push(String(body.id));
        else this.refused += 1;
      }
    }
  }

  #book(n: number): Promise<Answer> {
    const key = { 'idempotency-key': `drill-${n}` };
    return this.api.post('crossmark/schedule-event', { input: visitInput(n) }, key);
  }

  #read(n: number): Promise<Answer> {
    const { mPlanId, locationId } = visitInput(n);
    return this.api.post('crossmark/list-qualified-reps', { input: { mPlanId, locationId } });
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

  /** Draws on until the check holds; throws after `limitMs`. */
  async until(
    what: string,
    check: (upstream: UpstreamView) => boolean | Promise<boolean>,
    limitMs = 120_000,
  ): Promise<void> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const upstream = await this.api.upstream();
      // The simulator's whole ledger is a big answer: not for every frame.
      if (this.#turn % 5 === 0) this.#requests = (await this.api.ledger()).requests.length;
      this.#turn += 1;
      this.#view.draw({
        upstream,
        posted: this.ids.length,
        requests: this.#requests,
        elapsedMs: Date.now() - this.#startedAt,
      });
      if (await check(upstream)) return;
      if (Date.now() > deadline) throw new Error(`The drill waited ${limitMs / 1000} s for this: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, FRAME_MS));
    }
  }

  /** Until nothing waits, runs or is due any more. */
  async drained(): Promise<void> {
    await this.until(
      'everything drained',
      ({ queue }) => queue.waiting + queue.active + queue.overdue + queue.delayed === 0,
    );
  }
}
