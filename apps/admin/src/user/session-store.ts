/**
 * Admin sessions in Redis under `<prefix>:admin-session:<id>`. They survive a restart, and admin processes share them.
 * Redis' expiry ends an idle session.
 */
import type { Redis } from '@recloser/runtime/redis/connection';
import { type SessionData, Store } from 'express-session';

/** A store for express-session. Redis errors become errors of the request. */
export class RedisSessionStore extends Store {
  readonly #redis: Redis;
  readonly #keyPrefix: string;
  readonly #idleMs: number;

  constructor({ redis, prefix, idleMs }: { redis: Redis; prefix: string; idleMs: number }) {
    super();
    this.#redis = redis;
    this.#keyPrefix = `${prefix}:admin-session:`;
    this.#idleMs = idleMs;
  }

  override get(id: string, done: (error: unknown, session?: SessionData | null) => void): void {
    this.#redis.get(this.#key(id)).then(
      (text) => done(null, text === null ? null : (JSON.parse(text) as SessionData)),
      (error: unknown) => done(error),
    );
  }

  override set(id: string, session: SessionData, done: (error?: unknown) => void = () => {}): void {
    this.#redis.set(this.#key(id), JSON.stringify(session), 'PX', this.#idleMs).then(() => done(), done);
  }

  override destroy(id: string, done: (error?: unknown) => void = () => {}): void {
    this.#redis.del(this.#key(id)).then(() => done(), done);
  }

  override touch(id: string, _session: SessionData, done: (error?: unknown) => void = () => {}): void {
    this.#redis.pexpire(this.#key(id), this.#idleMs).then(() => done(), done);
  }

  #key(id: string): string {
    return `${this.#keyPrefix}${id}`;
  }
}
