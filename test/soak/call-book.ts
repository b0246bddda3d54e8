/**
 * Every accepted call and how it ended, as an application would record it. A call is recorded once, even if its post is
 * repeated. A call that the API no longer knows and that did not end counts as lost.
 */
import type { Call } from '@recloser/client/call';
import { isFinished } from '@recloser/client/call';
import { ProblemError } from '@recloser/client/errors';
import type { RecloserClient } from '@recloser/client/recloser-client';

/** One accepted call, with its last known status. */
export type NotedCall = {
  readonly id: string;
  readonly operation: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly callback: boolean;
  status: string;
  errorCode: string | null;
};

/** Reads in parallel, and reads per round. The oldest calls come first. */
const atOnce = 8;
const perRound = 80;

export class CallBook {
  /** Violations, as sentences. */
  readonly wrong: string[] = [];
  readonly totals = { attempts: 0, deferrals: 0, stalls: 0 };
  readonly #client: RecloserClient;
  readonly #calls = new Map<string, NotedCall>();
  readonly #open = new Set<NotedCall>();
  readonly #booked: NotedCall[] = [];
  readonly #results = new Map<NotedCall, unknown>();

  constructor(client: RecloserClient) {
    this.#client = client;
  }

  accept(call: Pick<NotedCall, 'id' | 'operation' | 'input'>, callback = false): void {
    if (this.#calls.has(call.id)) return;
    const noted: NotedCall = { ...call, callback, status: 'accepted', errorCode: null };
    this.#calls.set(call.id, noted);
    this.#open.add(noted);
  }

  get all(): NotedCall[] {
    return [...this.#calls.values()];
  }

  get size(): number {
    return this.#calls.size;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** The number of calls by last known status. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { status } of this.#calls.values()) counts[status] = (counts[status] ?? 0) + 1;
    return counts;
  }

  /** Returns a booked visit to unschedule. Each visit is returned once. */
  takeBooked(): { input: NotedCall['input']; result: Readonly<Record<string, unknown>> } | undefined {
    const call = this.#booked.shift();
    if (!call) return undefined;
    const result = this.#results.get(call) as Readonly<Record<string, unknown>>;
    this.#results.delete(call);
    return { input: call.input, result };
  }

  /** Reads the oldest open calls once. */
  async follow(): Promise<void> {
    const round = [...this.#open].slice(0, perRound);
    await this.#look(round);
    // A call that has not ended goes to the end of the line.
    for (const call of round) if (this.#open.delete(call)) this.#open.add(call);
  }

  /** Reads calls in doubt again: a person may have settled them. */
  async lookAtDoubts(): Promise<void> {
    await this.#look(this.all.filter(({ status }) => status === 'in_doubt'));
  }

  async #look(calls: NotedCall[]): Promise<void> {
    const left = calls.values();
    const asker = async () => {
      for (const call of left) await this.#ask(call);
    };
    await Promise.all(Array.from({ length: atOnce }, asker));
  }

  async #ask(noted: NotedCall): Promise<void> {
    const { id } = noted;
    let call: Call;
    try {
      call = await this.#client.get(id);
    } catch (error) {
      if (!(error instanceof ProblemError) || ![404, 410].includes(error.status)) return;
      this.#open.delete(noted);
      noted.status = 'lost';
      this.wrong.push(
        `${id} (${noted.operation}) was accepted, its end was not seen, and it answers ${error.status}`,
      );
      return;
    }
    const wasOpen = this.#open.has(noted);
    noted.status = call.status;
    noted.errorCode = call.error?.code ?? null;
    if (!isFinished(call)) {
      // A person resent the call in doubt.
      this.#open.add(noted);
      return;
    }
    this.#open.delete(noted);
    if (wasOpen) this.#checkEnd(noted, call);
  }

  #checkEnd(noted: NotedCall, { id, attempts, history, status, result }: Call): void {
    this.totals.attempts += attempts.made;
    this.totals.deferrals += attempts.deferrals;
    this.totals.stalls += attempts.stalls;
    // A history has at most 50 entries, so a longer one cannot be counted.
    const charged = history.filter(({ outcome }) => outcome !== 'snooze').length;
    if (history.length < 50 && attempts.made > charged + attempts.stalls)
      this.wrong.push(`${id}: ${attempts.made} attempts charged, ${charged} exchanges in its history`);
    if (noted.operation === 'crossmark/schedule-event' && status === 'succeeded') {
      this.#booked.push(noted);
      this.#results.set(noted, result);
    }
  }
}
