/**
 * The audit log: a capped stream `<prefix>:audit`. An action is recorded before it runs and does not run when it cannot
 * be recorded. A failure is recorded as a second entry.
 */

import type { Logger } from '@recloser/runtime/observe/logger';
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Role } from '../user/accounts.ts';

/** One action of a person. `target` is an upstream, a call or a job. */
export type AuditEntry = {
  readonly user: string;
  readonly role: Role;
  readonly action: string;
  readonly target?: string;
  readonly reason?: string;
  readonly until?: string | null;
  readonly outcome?: 'failed';
};

/** An entry as read from Redis. */
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

/** `user` must match exactly; `action` and `target` match as substrings. Only entries older than `before` match. */
type AuditFilter = {
  readonly user?: string | undefined;
  readonly action?: string | undefined;
  readonly target?: string | undefined;
  readonly before?: string | undefined;
};

const maxEntries = 20_000;
const readAtOnce = 500;

/** Writes and reads the audit log. Each action is also logged. */
export class AuditLog {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #log: Logger;

  constructor({ redis, prefix, log }: { redis: Redis; prefix: string; log: Logger }) {
    this.#redis = redis;
    this.#key = `${prefix}:audit`;
    this.#log = log;
  }

  /** Rejects when Redis cannot store the entry. */
  async record(entry: AuditEntry): Promise<void> {
    const fields = Object.entries({ at: new Date().toISOString(), ...entry }).flatMap(([name, value]) =>
      value === undefined || value === null ? [] : [name, String(value)],
    );
    await this.#redis.xadd(this.#key, 'MAXLEN', '~', maxEntries, '*', ...fields);
    this.#log.info({ audit: { ...entry, user: undefined } }, `${entry.user}: ${entry.action}`);
  }

  /** Records the action, runs it, and records a failure. */
  async around<T>(entry: AuditEntry, act: () => Promise<T>): Promise<T> {
    await this.record(entry);
    try {
      return await act();
    } catch (error) {
      await this.record({ ...entry, outcome: 'failed' });
      throw error;
    }
  }

  /** At most `count` matching entries, newest first. Pass `next` as `before` for older ones; null at the end. */
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
