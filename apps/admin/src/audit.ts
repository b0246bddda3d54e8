/**
 * What people did, in a capped stream `<prefix>:audit`. Always true: an act is recorded before it happens,
 * so nothing is done that could not be recorded; a failure is recorded as a second entry.
 */

import type { Logger } from '@recloser/runtime/logger';
import type { Redis } from '@recloser/runtime/redis';
import type { Role } from './accounts.ts';

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

const maxEntries = 20_000;

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
}
