/**
 * Reasons why an upstream's queue must not run, and the pause that follows from them.
 * Always true: BullMQ's paused flag is derived from the holds; whoever changes a hold applies it, and
 * the reconciler repairs what slipped through.
 */
import type { FleetReply, Hold, HoldKind } from './record.ts';
import { createScripts, type RedisConnection, type Scripts } from './scripts.ts';

/** So long after the ramp a limit is still taken for ours: one that a slow worker set late is undone. */
const lateApplyMs = 30_000;

/** A mismatch younger than this may be somebody's change that is just being applied. */
export const graceMs = 300;

/** What stands after an `apply`, and what was out of step without any change of the holds to explain it. */
export type Applied = FleetReply & { readonly mended: string | null };

/** What is needed of a BullMQ queue. */
export type PausableQueue = {
  pause(): Promise<void>;
  resume(): Promise<void>;
  isPaused(): Promise<boolean>;
  getGlobalConcurrency(): Promise<number | null>;
  setGlobalConcurrency(concurrency: number): Promise<unknown>;
  removeGlobalConcurrency(): Promise<unknown>;
};

export type SettableHoldKind = Exclude<HoldKind, 'breaker'>;

export type NewHold = {
  readonly kind: SettableHoldKind;
  /** Who sets it: a person's name, or the part of the system. */
  readonly owner: string;
  readonly reason: string;
  /** How long it lasts; null or absent: until released. */
  readonly forMs?: number | null;
};

export class Holds {
  readonly #scripts: Scripts;
  readonly #queue: PausableQueue;
  /** What this process last saw agree, and since when by `performance.now()`. */
  #agreed: { readonly reply: FleetReply; readonly sinceMs: number } | undefined;

  constructor({
    redis,
    root,
    queue,
    clock,
  }: { redis: RedisConnection; root: string; queue: PausableQueue; clock?: string }) {
    this.#scripts = createScripts(redis, root, clock);
    this.#queue = queue;
  }

  /** The active holds, the breaker's included. */
  async list(): Promise<readonly Hold[]> {
    return (await this.#scripts.run('read')).holds;
  }

  /** Sets or replaces a hold and pauses the queue. A running rate-limit hold is never shortened. */
  async set({ kind, owner, reason, forMs }: NewHold): Promise<readonly Hold[]> {
    await this.#scripts.run('hold', kind, owner, reason, forMs == null ? '' : Math.ceil(forMs));
    return await this.#applyAndNote();
  }

  /** Releases one hold and resumes the queue if no other is left. */
  async release(kind: SettableHoldKind, by: { owner: string; reason: string }): Promise<readonly Hold[]> {
    await this.#scripts.run('release', kind, by.owner, by.reason);
    return await this.#applyAndNote();
  }

  /**
   * Makes the paused flag and the global concurrency agree with what stands; reads again afterwards, so
   * that two who apply at the same time do not leave the older one's picture.
   */
  async apply(): Promise<Applied> {
    let limited: FleetReply | undefined;
    let mended: string | null = null;
    for (let turn = 0; ; turn += 1) {
      const before = await this.#scripts.run('read');
      if (before.breaker.state === 'half_open') limited = before;
      const flipped = await this.#agree(before, limited);
      if (turn === 0 && this.#stood(before)) mended = flipped;
      const after = await this.#scripts.run('read');
      if (turn < 4 && !sameWish(before, after)) continue;
      if (!this.#agreed || !sameWish(this.#agreed.reply, after)) {
        this.#agreed = { reply: after, sinceMs: performance.now() };
      }
      return { ...after, mended };
    }
  }

  /** A change of the holds may find that somebody flipped the flag before; the timeline tells of that as well. */
  async #applyAndNote(): Promise<readonly Hold[]> {
    const { holds, mended } = await this.apply();
    if (mended !== null) await this.noteRepair(mended);
    return holds;
  }

  /** Whether nothing has changed for so long that nobody can still be applying a change. */
  #stood(reply: FleetReply): boolean {
    if (!this.#agreed || !sameWish(this.#agreed.reply, reply)) return false;
    return performance.now() - this.#agreed.sinceMs > graceMs;
  }

  /** What is out of step right now; empty when all agrees. */
  async disagreements(): Promise<readonly string[]> {
    const [reply, paused, concurrency] = await Promise.all([
      this.#scripts.run('read'),
      this.#queue.isPaused(),
      this.#queue.getGlobalConcurrency(),
    ]);
    const found: string[] = [];
    const flag = wrongFlag(reply, paused);
    if (flag !== null) found.push(flag);
    const limit = wantedConcurrency(reply);
    if (limit !== undefined && limit !== concurrency) {
      found.push(
        `the global concurrency was ${concurrency ?? 'unlimited'} instead of ${limit ?? 'unlimited'}`,
      );
    }
    return found;
  }

  /** Records in the timeline that a mismatch was mended. */
  async noteRepair(found: string): Promise<void> {
    await this.#scripts.run('note-repair', found);
  }

  /**
   * Returns what was wrong with the paused flag, if anything.
   * @param limited what stood when this very `apply` last set a limit, so that it can take it back itself
   */
  async #agree(reply: FleetReply, limited: FleetReply | undefined): Promise<string | null> {
    const held = reply.holds.length > 0;
    const paused = await this.#queue.isPaused();
    if (held && !paused) await this.#queue.pause();
    // The limit must stand before the queue runs again, or everything held would start at once.
    const wanted = wantedConcurrency(reply);
    await this.#limit(wanted === undefined && limited ? limited.breaker.operatorConcurrency : wanted);
    if (!held && paused) await this.#queue.resume();
    if (reply.breaker.limited && reply.breaker.state !== 'half_open') {
      await this.#scripts.run('unlimit', reply.breaker.generation, lateApplyMs);
    }
    return wrongFlag(reply, paused);
  }

  async #limit(wanted: number | null | undefined): Promise<void> {
    if (wanted === undefined || wanted === (await this.#queue.getGlobalConcurrency())) return;
    if (wanted === null) await this.#queue.removeGlobalConcurrency();
    else await this.#queue.setGlobalConcurrency(wanted);
  }
}

/** What is wrong with the paused flag, in words. */
function wrongFlag({ holds }: FleetReply, paused: boolean): string | null {
  if (paused && holds.length === 0) return 'the queue was paused and no hold says why';
  if (paused || holds.length === 0) return null;
  return `the queue ran behind the back of a hold (${holds.map(({ kind }) => kind).join(', ')})`;
}

/** The limit that must stand: the permits while half-open, then the operator's own again; undefined: not ours. */
function wantedConcurrency({ breaker }: FleetReply): number | null | undefined {
  if (breaker.state === 'half_open') return Math.max(1, breaker.permits ?? 1);
  return breaker.limited ? breaker.operatorConcurrency : undefined;
}

function sameWish(one: FleetReply, other: FleetReply): boolean {
  return (
    one.holds.length > 0 === other.holds.length > 0 &&
    one.breaker.generation === other.breaker.generation &&
    one.breaker.permits === other.breaker.permits
  );
}
