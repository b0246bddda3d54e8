/** For tests: starts the whole admin app on a free port, with a real Redis and a fresh prefix. */
import { randomBytes } from 'node:crypto';
import { createLogger } from '@recloser/runtime/observe/logger';
import { createMetrics } from '@recloser/runtime/observe/metrics';
import { type HttpServer, listen } from '@recloser/runtime/process/http-server';
import { connectRedis, type Redis } from '@recloser/runtime/redis/connection';
import { createSealer } from '@recloser/runtime/secrets/seal';
import { definitions } from '@recloser/upstreams/definitions';
import { type AdminDeps, createApp } from '../src/app.ts';
import { UpstreamFeed } from '../src/breakers/upstream-feed.ts';
import { readSnapshot } from '../src/breakers/upstream-view.ts';
import { RetryRunner } from '../src/retry/retry-runner.ts';
import { type AdminUpstream, closeUpstream, openUpstream } from '../src/upstream/admin-upstream.ts';
import { type AccountSource, Accounts, roles } from '../src/user/accounts.ts';
import { hashPassword } from '../src/user/password.ts';
import { deriveKey } from '../src/user/sessions.ts';

/** One account per role. The password is `<name>-<name>`. The hashes are cheap, because tests log in often. */
async function testAccounts(): Promise<AccountSource[]> {
  return await Promise.all(
    roles.map(async (role) => {
      const hash = await hashPassword(`${role}-${role}`, 1024);
      return { kind: 'hash' as const, name: role, role, hash };
    }),
  );
}

/** A running admin app with its dependencies. */
export type TestAdmin = AsyncDisposable & {
  readonly url: string;
  readonly redis: Redis;
  readonly prefix: string;
  readonly sessionKey: Buffer;
  readonly upstreams: readonly AdminUpstream[];
  readonly deps: AdminDeps;
  /** Logs in and returns the session cookie. */
  login(name: 'viewer' | 'operator' | 'admin'): Promise<string>;
};

/** Starts the app. Dispose it with `await using`. */
export async function startAdmin(redisUrl: string, signInTimeoutMs = 60_000): Promise<TestAdmin> {
  const log = createLogger({ name: 'admin', level: 'silent' });
  const prefix = `t${randomBytes(5).toString('hex')}`;
  const sessionKey = randomBytes(32);
  // Admin's own connection has a command timeout that a slow test machine can exceed.
  const redis = connectRedis(redisUrl, { role: 'worker', name: 'admin-test', log });
  const subscriber = connectRedis(redisUrl, { role: 'subscriber', name: 'admin-test', log });
  const upstreams = Object.values(definitions).map((definition) =>
    openUpstream({ definition, policy: definition.breaker, redis, prefix }),
  );
  const channels = upstreams.map(({ root }) => `${root}:changed`);
  const feed = new UpstreamFeed({ read: () => readSnapshot(redis, upstreams), subscriber, channels, log });
  const accounts = await Accounts.open(await testAccounts(), deriveKey(sessionKey, 'account-stamp'));
  const metrics = createMetrics('admin');
  const parts = {
    redis,
    prefix,
    sessionKey,
    sealer: createSealer(sessionKey),
    accounts,
    upstreams,
    feed,
    metrics,
    log,
  };
  const deps: AdminDeps = { ...parts, trustProxy: 'loopback', signInTimeoutMs };
  const app = createApp(deps);
  const runner = new RetryRunner({ redis, upstreams, log, lookMs: 20 });
  feed.start();
  runner.start();
  const server: HttpServer = await listen(app, { host: '127.0.0.1', port: 0 });
  return {
    url: server.url,
    redis,
    prefix,
    sessionKey,
    upstreams,
    deps,
    login: (name) => login(server.url, name),
    async [Symbol.asyncDispose]() {
      feed.stop();
      await runner.stop();
      await server.close(0);
      await Promise.all(upstreams.map(closeUpstream));
      redis.disconnect();
      subscriber.disconnect();
    },
  };
}

async function login(url: string, name: string): Promise<string> {
  const answer = await postLogin(url, name, `${name}-${name}`);
  const cookie = cookieOf(answer);
  if (answer.status !== 303 || cookie === null) throw new Error(`login failed: ${answer.status}`);
  return cookie;
}

/** Posts the login form. */
export function postLogin(url: string, username: string, password: string): Promise<Response> {
  return fetch(`${url}/login`, {
    method: 'POST',
    redirect: 'manual',
    headers: { accept: 'text/html' },
    body: new URLSearchParams({ username, password }),
  });
}

/** The session cookie of a response as a `Cookie` header, or null. */
export function cookieOf(answer: Response): string | null {
  return answer.headers.getSetCookie()[0]?.split(';')[0] ?? null;
}

/** Posts JSON with a cookie. */
export function postJson(
  url: string,
  cookie: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { cookie, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}
