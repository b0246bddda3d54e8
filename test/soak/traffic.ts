/**
 * Steady mixed traffic through the public API: every operation, with repeats, `runAt`, `expiresAt`, cancels, batches,
 * callbacks and each `ifOpen`. Every visit has its own item, and every call an idempotency key. The rate does not depend
 * on how fast the system answers.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { isFinished } from '@recloser/client/call';
import { ProblemError } from '@recloser/client/errors';
import type { BatchItem, RecloserClient, SubmitOptions } from '@recloser/client/recloser-client';
import { examples as crossmark } from '@recloser/upstreams/crossmark/examples';
import { examples as walmartEdr } from '@recloser/upstreams/walmart-edr/examples';
import { pickWeighted, type Random } from '../support/random.ts';
import type { CallBook } from './call-book.ts';

/** Percentages. */
const operations = {
  'crossmark/schedule-event': 30,
  'crossmark/unschedule-event': 8,
  'crossmark/reissue-event': 6,
  'crossmark/list-planning': 6,
  'crossmark/list-available-reps': 6,
  'crossmark/list-qualified-reps': 14,
  'walmart-edr/get-report': 20,
  'walmart-edr/browse-events': 10,
} as const;
type Operation = keyof typeof operations;

/** Percentages. */
const manners = {
  plain: 62,
  later: 8,
  limited: 6,
  cancelled: 4,
  called: 8,
  repeated: 4,
  stale: 4,
  reject: 4,
} as const;
type Manner = keyof typeof manners;

const batchEvery = 100;
const batchSize = 15;

type StaleOptions = SubmitOptions & { readonly ifOpen: 'stale' };

type Parts = {
  readonly client: RecloserClient;
  readonly book: CallBook;
  readonly random: Random;
  readonly perSecond: number;
  readonly callbackUrl: string;
};

export class Traffic {
  readonly wrong: string[] = [];
  readonly counts = { posted: 0, repeated: 0, cancelled: 0, refused: 0, stale: 0, batches: 0 };
  readonly #parts: Parts;
  readonly #pending = new Set<Promise<void>>();
  readonly #stopped = new AbortController();
  readonly #pacing: Promise<void>;
  #items = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#pacing = this.#pace();
  }

  /** Stops posting. Resolves with the last answer. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#pacing;
    await Promise.all(this.#pending);
  }

  async #pace(): Promise<void> {
    const startedAt = performance.now();
    for (let turn = 1; !this.#stopped.signal.aborted; turn += 1) {
      this.#start(turn % batchEvery === 0 ? this.#batch() : this.#one());
      const nextAt = startedAt + (turn * 1000) / this.#parts.perSecond;
      await pause(Math.max(0, nextAt - performance.now()), undefined, this.#stopped).catch(() => {});
    }
  }

  #start(work: Promise<void>): void {
    const noted = work
      .catch((error: Error) => void this.wrong.push(`a call could not be handed over: ${error.message}`))
      .finally(() => this.#pending.delete(noted));
    this.#pending.add(noted);
  }

  async #one(): Promise<void> {
    const { client, random } = this.#parts;
    const [operation, input] = await this.#draw();
    const manner = pickWeighted(random, manners);
    const [upstream = '', name = ''] = operation.split('/');
    const options = { idempotencyKey: crypto.randomUUID(), ...this.#optionsOf(manner, operation) };
    // The answer may be a stale result.
    const hand = () => client.submit(upstream, name, input, options as StaleOptions);
    this.counts.posted += 1;
    try {
      const call = await hand();
      if ('stale' in call) {
        this.counts.stale += 1;
        return;
      }
      this.#parts.book.accept({ id: call.id, operation, input }, manner === 'called');
      if (manner === 'repeated') await this.#repeat(call.id, hand);
      if (manner === 'cancelled') await this.#cancel(call.id);
    } catch (error) {
      // Refused: the breaker was open, or `expiresAt` had passed once Redis was back. Nothing was stored.
      const isRefusal =
        error instanceof ProblemError && (error.code === 'breaker_open' || isTooLate(error, manner));
      if (!isRefusal) throw error;
      this.counts.refused += 1;
    }
  }

  #optionsOf(manner: Manner, operation: Operation): SubmitOptions {
    const { random, callbackUrl } = this.#parts;
    const inSeconds = (least: number, most: number) =>
      new Date(Date.now() + (least + random() * (most - least)) * 1000).toISOString();
    switch (manner) {
      case 'later':
        return { runAt: inSeconds(1, 15), priority: 1 + Math.floor(random() * 100) };
      case 'limited':
        return { expiresAt: inSeconds(1, 10) };
      case 'cancelled':
        return { runAt: inSeconds(20, 40) };
      case 'called':
        return { callback: { url: callbackUrl }, metadata: { from: 'soak' } };
      case 'stale':
        return isRead(operation) ? { ifOpen: 'stale' } : {};
      case 'reject':
        return { ifOpen: 'reject' };
      case 'plain':
      case 'repeated':
        return {};
      default:
        return manner satisfies never;
    }
  }

  async #repeat(id: string, again: () => Promise<unknown>): Promise<void> {
    const second = (await again()) as { readonly id?: string };
    this.counts.repeated += 1;
    if (second.id !== id) this.wrong.push(`repeated with the same key, ${id} became ${second.id}`);
  }

  async #cancel(id: string): Promise<void> {
    await pause(1_000);
    const call = await this.#parts.client.cancel(id);
    if (!isFinished(call)) this.wrong.push(`cancelled, ${id} is ${call.status}`);
    this.counts.cancelled += 1;
  }

  async #batch(): Promise<void> {
    const { client, book } = this.#parts;
    const drawn = await Promise.all(Array.from({ length: batchSize }, () => this.#draw()));
    const items: BatchItem[] = drawn.map(([path, input]) => {
      const [upstream = '', operation = ''] = path.split('/');
      return { upstream, operation, input, idempotencyKey: crypto.randomUUID() };
    });
    this.counts.batches += 1;
    this.counts.posted += items.length;
    for (;;) {
      const results = await client.batch(items);
      for (const { index, call } of results) {
        const [operation, input] = drawn[index] ?? [];
        if (call && operation && input) book.accept({ id: call.id, operation, input });
      }
      // Each item has its own key, so sending all of them again is safe.
      if (results.every(({ call }) => call)) return;
      await pause(500);
    }
  }

  async #draw(): Promise<[Operation, Record<string, unknown>]> {
    const operation = pickWeighted(this.#parts.random, operations);
    if (operation === 'crossmark/unschedule-event') {
      const booked = this.#parts.book.takeBooked();
      if (!booked) return this.#made('crossmark/list-planning');
      const { mPlanId, locationId } = booked.input;
      return [operation, { scheduleEventId: booked.result.scheduleEventId, mPlanId, locationId }];
    }
    return this.#made(operation);
  }

  async #made(operation: Operation): Promise<[Operation, Record<string, unknown>]> {
    const [upstream, name = ''] = operation.split('/');
    const example = (upstream === 'crossmark' ? crossmark : walmartEdr).operations[name];
    if (!example) throw new Error(`${operation} has no example`);
    this.#items += 1;
    const item = this.#items;
    const none = () => Promise.reject(new Error('no call is made for an input'));
    const input = (await example(item, none)) as Record<string, unknown>;
    // Lists one item. A list of all visits, and Redis with it, would grow with every visit.
    return [operation, name === 'list-planning' ? { ...input, mPlanId: String(30_000_000 + item) } : input];
  }
}

const isTooLate = ({ status }: ProblemError, manner: Manner): boolean =>
  status === 422 && manner === 'limited';

const isRead = (operation: string): boolean => /\/(list|get|browse)-/.test(operation);
