/**
 * Plays the admin: enters the code of the text message when Walmart requests one, and settles calls in doubt after
 * checking the upstream. It marks a call as done only if the upstream has the visit, and resends it only if the visit is
 * still missing after some seconds.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { StackApi } from '@recloser/local-stack/stack/stack-api';
import type { AdminApi } from '../support/admin-api.ts';

type InDoubt = {
  readonly id: string;
  readonly operation: string;
  readonly since: string;
  readonly input: { readonly mPlanId?: string };
  readonly needed: readonly string[];
};

const lookEveryMs = 2_000;
/** Longer than a late commit takes. */
const settleAfterMs = 10_000;

export class Person {
  readonly counts = { signIns: 0, foundDone: 0, resent: 0 };
  readonly #api: StackApi;
  readonly #admin: AdminApi;
  readonly #stopped = new AbortController();
  readonly #working: Promise<void>;

  constructor({ api, admin }: { api: StackApi; admin: AdminApi }) {
    this.#api = api;
    this.#admin = admin;
    this.#working = this.#work();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    for (let turn = 0; !this.#stopped.signal.aborted; turn += 1) {
      // Nothing answers while Redis is unavailable: try later.
      await this.#signIn().catch(() => {});
      if (turn % 5 === 4) await this.settleDoubts().catch(() => {});
      await pause(lookEveryMs, undefined, this.#stopped).catch(() => {});
    }
  }

  async #signIn(): Promise<void> {
    const { holds } = await this.#api.upstream('walmart-edr');
    if (!holds.some(({ kind }) => kind === 'sign-in')) return;
    // Text messages are at least 30 s apart. Earlier requests are refused.
    const sent = await this.#admin.post('/api/sign-in/walmart-edr/send-code', {});
    if (sent.status !== 200) return;
    const { status } = await this.#admin.post('/api/sign-in/walmart-edr/verify', { code: '123456' });
    if (status === 200) this.counts.signIns += 1;
  }

  /** Settles calls that have been in doubt for a while. */
  async settleDoubts(): Promise<void> {
    const { body } = await this.#admin.get('/api/in-doubt');
    const calls = (body.calls ?? []) as readonly InDoubt[];
    const old = calls.filter(({ since }) => Date.now() - Date.parse(since) > settleAfterMs);
    if (old.length === 0) return;
    const { visits, pendingWorkByItem } = await this.#api.ledger();
    for (const { id, operation, input } of old) {
      const item = input.mPlanId ?? '';
      const visit = visits.find(({ mPlanId }) => mPlanId === item);
      const isDone = operation === 'reissue-event' ? (pendingWorkByItem[item] ?? 0) > 0 : visit !== undefined;
      const result =
        operation === 'schedule-event' ? { scheduleEventId: String(visit?.scheduleEventId) } : undefined;
      const word = isDone ? { action: 'done', ...(result && { result }) } : { action: 'resend' };
      const answer = await this.#admin.post(`/api/in-doubt/${id}`, { ...word, reason: 'seen at Crossmark' });
      if (answer.status === 200) this.counts[isDone ? 'foundDone' : 'resent'] += 1;
    }
  }
}
