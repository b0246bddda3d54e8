/**
 * What people did, in a capped stream `<prefix>:audit`. Always true: an act is recorded before it happens,
 * so nothing is done that could not be recorded; a failure is recorded as a second entry.
 */

import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Role } from '../user/accounts.ts';

/** One act of a person. `target` is an upstream or a job; `reason` is what the person gave. */
export type AuditEntry = {
  readonly user: string;
  readonly role: Role;
  readonly action: string;
  readonly target?: string;
  readonly reason?: string;
  readonly until?: string | null;
  readonly outcome?: 'failed';
};

/** An entry as it is read back. */
export type AuditRecord = {
  readonly id: string;
  readonly at: string;
  readonly user: string;
  readonly role: string;
  readonly action: string;
  readonly target?: string;
  readonly reason?: string;
  readonly until?: string;
  readonly outcome?: string;
};

/** `user` must match, the others must be contained. `before`: id of the entry to go on after. */
export type AuditFilter = {
  readonly user?: string | undefined;
  readonly action?: string | undefined;
  readonly target?: string | undefined;
  readonly before?: string | undefined;
};

const maxEntries = 20_000;
const readAtOnce = 500;

/** Writes the audit stream and a log line for each act. */
export class AuditLog {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #log: Logger;

  constructor({ redis, prefix, log }: { redis: Redis; prefix: string; log: Logger }) {
    this.#redis = redis;
    this.#key = `${prefix}:audit`;
    this.#log = log;
  }

  /** Rejects when Redis cannot keep the entry. */
  async record(entry: AuditEntry): Promise<void> {
    const fields = Object.entries({ at: new Date().toISOString(), ...entry }).flatMap(([name, value]) =>
      value === undefined || value === null ? [] : [name, String(value)],
    );
    await this.#redis.xadd(this.#key, 'MAXLEN', '~', maxEntries, '*', ...fields);
    this.#log.info({ audit: { ...entry, user: undefined } }, `${entry.user}: ${entry.action}`);
  }

  /** Records the act, does it, and records its failure if it fails. */
  async around<T>(entry: AuditEntry, act: () => Promise<T>): Promise<T> {
    await this.record(entry);
    try {
      return await act();
    } catch (error) {
      await this.record({ ...entry, outcome: 'failed' });
      throw error;
    }
  }

  /** Entries that match, newest first, at most `count`; `next` goes on with older ones, null at the end. */
  async list(
    filter: AuditFilter,
    count: number,
  ): Promise<{ entries: readonly AuditRecord[]; next: string | null }> {
    const found: AuditRecord[] = [];
    let from = filter.before === undefined ? '+' : `(${filter.before}`;
    for (;;) {
      const read = await this.#redis.xrevrange(this.#key, from, '-', 'COUNT', readAtOnce);
      for (const [id, flat] of read) {
        if (found.length === count) return { entries: found, next: found.at(-1)?.id ?? null };
        const record = recordOf(id, flat);
        if (matches(record, filter)) found.push(record);
      }
      if (read.length < readAtOnce) return { entries: found, next: null };
      from = `(${read.at(-1)?.[0]}`;
    }
  }
}

function recordOf(id: string, flat: readonly string[]): AuditRecord {
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i] as string] = flat[i + 1] as string;
  return { id, at: '', user: '', role: '', action: '', ...fields };
}

function matches(record: AuditRecord, { user, action, target }: AuditFilter): boolean {
  const contains = (value: string | undefined, part: string | undefined) =>
    part === undefined || (value ?? '').toLowerCase().includes(part.toLowerCase());
  return (
    (user === undefined || record.user === user) &&
    contains(record.action, action) &&
    contains(record.target, target)
  );
}
