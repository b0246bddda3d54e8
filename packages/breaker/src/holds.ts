/**
 * The holds of an upstream, and the pause of its queue, which is derived from them. Whoever changes a hold applies it.
 * The reconciler repairs mismatches.
 */
import type { FleetReply, Hold, HoldKind } from './record.ts';
import { createScripts, type RedisConnection, type Scripts } from './scripts.ts';

/** For this time after the ramp, the global concurrency still counts as ours: a slow worker may set it late. */
const lateApplyMs = 30_000;

/** A younger mismatch may be a change in progress. */
export const graceMs = 300;

/** The state after `apply`. `repaired` is a mismatch that no change of the holds explains. */
type Applied = FleetReply & { readonly repaired: string | null };

/** The methods used of a BullMQ queue. */
export type PausableQueue = {
  pause(): Promise<void>;
  resume(): Promise<void>;
  isPaused(): Promise<boolean>;
  getGlobalConcurrency(): Promise<number | null>;
  setGlobalConcurrency(concurrency: number): Promise<unknown>;
  removeGlobalConcurrency(): Promise<unknown>;
};

type SettableHoldKind = Exclude<HoldKind, 'breaker'>;

type NewHold = {
  readonly kind: SettableHoldKind;
  /** A person's name, or a part of the system. */
  readonly owner: string;
  readonly reason: string;
  /** Null or absent: until released. */
  readonly forMs?: number | null;
};

export class Holds {
  readonly #scripts: Scripts;
  readonly #queue: PausableQueue;
  /** The last state that the queue agreed with, and since when (`performance.now()`). */
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

  /** The active holds, including the breaker's. */
  async list(): Promise<readonly Hold[]> {
    return (await this.#scripts.run('read')).holds;
  }

  /** Sets or replaces a hold and pauses the queue. Never shortens a sign-in or rate-limit hold. */
  async set({ kind, owner, reason, forMs }: NewHold): Promise<readonly Hold[]> {
    await this.#scripts.run('hold', kind, owner, reason, forMs == null ? '' : Math.ceil(forMs));
    return await this.#applyAndNote();
  }

  /** Releases a hold. Resumes the queue if no other hold is left. */
  async release(kind: SettableHoldKind, by: { owner: string; reason: string }): Promise<readonly Hold[]> {
    await this.#scripts.run('release', kind, by.owner, by.reason);
    return await this.#applyAndNote();
  }

  /**
   * Sets the paused flag and the global concurrency to match the record and the holds. Reads again afterwards, so that
   * two concurrent runs do not leave the older state behind.
   */
  async apply(): Promise<Applied> {
    let limited: FleetReply | undefined;
    let repaired: string | null = null;
    for (let turn = 0; ; turn += 1) {
      const before = await this.#scripts.run('read');
      if (before.breaker.state === 'half_open') limited = before;
      const flipped = await this.#agree(before, limited);
      if (turn === 0 && this.#isSettled(before)) repaired = flipped;
      const after = await this.#scripts.run('read');
      if (turn < 4 && !sameTarget(before, after)) continue;
      if (!this.#agreed || !sameTarget(this.#agreed.reply, after)) {
        this.#agreed = { reply: after, sinceMs: performance.now() };
      }
      return { ...after, repaired };
    }
  }

  /** The paused flag may have been wrong before this change. The timeline records that too. */
  async #applyAndNote(): Promise<readonly Hold[]> {
    const { holds, repaired } = await this.apply();
    if (repaired !== null) await this.noteRepair(repaired);
    return holds;
  }

  /** True if the last change is so old that no process is still applying it. */
  #isSettled(reply: FleetReply): boolean {
    if (!this.#agreed || !sameTarget(this.#agreed.reply, reply)) return false;
    return performance.now() - this.#agreed.sinceMs > graceMs;
  }

  async mismatches(): Promise<readonly string[]> {
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

  /** Records a repair in the timeline. */
  async noteRepair(found: string): Promise<void> {
    await this.#scripts.run('note-repair', found);
  }

  /**
   * Returns the mismatch of the paused flag, if there was one.
   * @param limited the state when this `apply` last set a limit, so that it can remove that limit itself
   */
  async #agree(reply: FleetReply, limited: FleetReply | undefined): Promise<string | null> {
    const held = reply.holds.length > 0;
    const paused = await this.#queue.isPaused();
    if (held && !paused) await this.#queue.pause();
    // Set the limit before the queue resumes, or every held call would start at once.
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

function wrongFlag({ holds }: FleetReply, paused: boolean): string | null {
  if (paused && holds.length === 0) return 'the queue was paused without a hold';
  if (paused || holds.length === 0) return null;
  return `the queue was running despite a hold (${holds.map(({ kind }) => kind).join(', ')})`;
}

/** The permits while half-open, then the operator's own limit again. Undefined: not ours to set. */
function wantedConcurrency({ breaker }: FleetReply): number | null | undefined {
  if (breaker.state === 'half_open') return Math.max(1, breaker.permits ?? 1);
  return breaker.limited ? breaker.operatorConcurrency : undefined;
}

function sameTarget(one: FleetReply, other: FleetReply): boolean {
  return (
    one.holds.length > 0 === other.holds.length > 0 &&
    one.breaker.generation === other.breaker.generation &&
    one.breaker.permits === other.breaker.permits
  );
}
