/**
 * The Lua scripts of the session store. A script touches only the keys that it is given, which share the upstream's
 * hash tag. Leases are key expiries, so Redis' clock decides.
 *
 * Keys: `session` hash {id, revision, sealed, signedInAt} · `lock` string: number of the flight that holds the lease ·
 * `flight` counter: the fencing token · `refusal` hash {fingerprint, code, message, at, times, until} · `failure` hash
 * {flight, outcome, times, until} · `sign-ins` sorted set of tickets by time · `code-claim` string: ticket of the
 * caller that may request a code.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from '@recloser/runtime/redis/connection';

export type Script = { readonly source: string; readonly sha: string; readonly keys: number };

const lua = (name: string) => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
const clock = lua('clock');

/** The scripts and how many keys each takes. */
export const scripts = {
  claim: load('claim', 5),
  complete: load('complete', 4),
  refuse: load('refuse', 3),
  refusalIsDue: load('refusal-is-due', 1),
  fail: load('fail', 2),
  rotate: load('rotate', 2),
  store: load('store', 5),
  clear: load('clear', 1),
  claimCode: load('claim-code', 1),
  releaseCode: load('release-code', 1),
  takeSignIn: load('take-sign-in', 1),
} as const;

function load(name: string, keys: number): Script {
  const source = `${clock}\n${lua(name)}`;
  return { source, keys, sha: createHash('sha1').update(source).digest('hex') };
}

/** Runs a script by its digest and loads it if Redis does not know it yet. */
export async function runScript(
  redis: Redis,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  if (keys.length !== script.keys)
    throw new RangeError(`the script takes ${script.keys} keys, not ${keys.length}`);
  try {
    return await redis.evalsha(script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return redis.eval(script.source, keys.length, ...keys, ...args);
  }
}
