/** Posts visits while Redis fails, and records which were accepted, refused or unknown. */
import { setTimeout as pause } from 'node:timers/promises';
import { type StackApi, visitInput } from '@recloser/local-stack/stack/stack-api';
import { expect, onTestFinished } from 'vitest';
import { allEnded, until } from '../stack.ts';

/** One answer. `code` is absent for a 202. */
export type Posted = {
  readonly n: number;
  readonly atMs: number;
  readonly status: number;
  readonly id?: string;
  readonly code?: string;
};

const inParallel = 4;
/** Pause between two posts of one poster: about 100 posts per second in total. */
const paceMs = 40;

/** Posts until `stop`; the visits are numbered from `first`. */
export class Traffic {
  readonly posted: Posted[] = [];
  readonly #api: StackApi;
  readonly #path: string;
  readonly #input: (n: number) => Record<string, string>;
  #next: number;
  #stopped = false;
  readonly #posters: Promise<void>[];

  constructor(
    api: StackApi,
    {
      first = 0,
      path = 'crossmark/schedule-event',
      input = visitInput as (n: number) => Record<string, string>,
    } = {},
  ) {
    this.#api = api;
    this.#next = first;
    this.#path = path;
    this.#input = input;
    this.#posters = Array.from({ length: inParallel }, () => this.#post());
    onTestFinished(() => this.stop());
  }

  get accepted(): readonly Posted[] {
    return this.posted.filter(({ status }) => status === 202);
  }

  acceptedIds(): string[] {
    return this.accepted.map(({ id = '' }) => id);
  }

  /** The number of answers by problem code. */
  problems(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { code } of this.posted) if (code) counts[code] = (counts[code] ?? 0) + 1;
    return counts;
  }

  /** The time from `sinceMs` to the first 202 after a refusal, or null if nothing was refused. */
  outageMs(sinceMs: number): number | null {
    const refused = this.posted.filter(({ status, atMs }) => status !== 202 && atMs > sinceMs);
    const last = Math.max(...refused.map(({ atMs }) => atMs));
    return refused.length === 0 ? null : Math.round(last - sinceMs);
  }

  /** Stops posting. Resolves with the last answer. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#posters);
  }

  async #post(): Promise<void> {
    while (!this.#stopped) {
      const n = this.#next;
      this.#next += 1;
      const { status, body } = await this.#api
        .post(this.#path, { input: this.#input(n) })
        .catch(() => ({ status: 0, body: { code: 'web_unreachable' } }));
      const { id, code } = body as { id?: string; code?: string };
      this.posted.push({ n, atMs: performance.now(), status, ...(id && { id }), ...(code && { code }) });
      await pause(paceMs);
    }
  }
}

/** How the accepted calls ended. The API does not know a lost call. */
export async function ledgerOf(
  api: StackApi,
  ids: readonly string[],
  timeoutMs = 90_000,
): Promise<{ lost: string[]; ends: Record<string, number> }> {
  const lost: string[] = [];
  const kept: string[] = [];
  for (const id of ids) {
    // During the switch to the new master, a read may be refused again.
    const found = await until(() =>
      api.call(id).then(
        () => true,
        (error: Error) => {
          if (error.message.includes(' 404')) return false;
          throw error;
        },
      ),
    );
    (found ? kept : lost).push(id);
  }
  return { lost, ends: await allEnded(api, kept, timeoutMs) };
}

/** No visit was booked twice. */
export async function expectNoneDoubled(api: StackApi): Promise<void> {
  const { visitsByItem } = await api.ledger();
  const doubled = Object.entries(visitsByItem).filter(([, times]) => times > 1);
  expect(doubled).toEqual([]);
}
