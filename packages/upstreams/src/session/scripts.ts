/**
 * The Lua scripts behind `SessionStore`, and the little runner that calls them by digest.
 *
 * Always true: a script touches only the keys it is given, which all share the upstream's hash tag, and
 * nothing from outside is ever put into a script's text. Leases are Redis key expiries, so Redis' clock rules.
 *
 * Keys: `session` hash {id, revision, sealed, signedInAt} · `lock` string = flight number, expires with the
 * lease · `flight` counter, the fencing token · `refusal` hash {fingerprint, code, message, at, times, until} ·
 * `failure` hash {flight, outcome, times, until}, expires · `sign-ins` sorted set of tickets by time · `code-claim` string = ticket of the one who may have a code sent, expires.
 */
import { createHash } from 'node:crypto';
import type { Cluster, Redis } from 'ioredis';

/** What the store needs of a connection: one `Redis` or `Cluster` of ioredis. */
export type SessionRedis = Redis | Cluster;

export type Script = { readonly source: string; readonly sha: string; readonly keys: number };

/** Runs a script by digest and loads it where Redis does not know it yet. */
export async function runScript(
  redis: SessionRedis,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  if (keys.length !== script.keys)
    throw new RangeError(`script needs ${script.keys} keys, not ${keys.length}`);
  try {
    return await redis.evalsha(script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return redis.eval(script.source, keys.length, ...keys, ...args);
  }
}

/** A script that takes so many keys. `now()` in it is Redis' time in ms. */
export function script(keys: number, body: string): Script {
  const source = `${clock}${body}`;
  return { source, keys, sha: createHash('sha1').update(source).digest('hex') };
}

const clock = `
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
`;

/**
 * Decides what a caller without a usable session does. Keys: session, lock, flight, refusal, failure. Args: stale id,
 * stale revision, credentials fingerprint, lease ms, flight number waited for ('' = none).
 * A session other than the stale one wins over everything. The stale one stays until the flight has ended: should
 * the leader die, the next one still has what is left of it, which may spare a person a sign-in.
 */
export const claimScript = script(
  5,
  `
local current = redis.call('HMGET', KEYS[1], 'id', 'revision', 'sealed', 'signedInAt')
if current[1] and (current[1] ~= ARGV[1] or current[2] ~= ARGV[2]) then
  return {'session', current[1], current[2], current[3], current[4]}
end
local refusal = redis.call('HMGET', KEYS[4], 'fingerprint', 'code', 'message', 'until')
if refusal[1] and refusal[1] == ARGV[3] and now() < (tonumber(refusal[4] or '') or math.huge) then
  return {'refused', refusal[2], refusal[3]}
end
if ARGV[5] ~= '' then
  local failure = redis.call('HMGET', KEYS[5], 'flight', 'outcome')
  if failure[1] and tonumber(failure[1]) >= tonumber(ARGV[5]) then
    return {'failed', failure[2]}
  end
end
local holder = redis.call('GET', KEYS[2])
if holder then
  return {'wait', holder}
end
local pause = tonumber(redis.call('HGET', KEYS[5], 'until') or 0) - now()
if pause > 0 then
  return {'paused', tostring(math.ceil(pause))}
end
local flight = redis.call('INCR', KEYS[3])
redis.call('SET', KEYS[2], flight, 'PX', ARGV[4])
return {'lead', tostring(flight)}
`,
);

/**
 * Ends a flight with a session, if the lock is still this flight's. Keys: session, lock, refusal, failure. Args: flight,
 * id, sealed, signedInAt.
 */
export const completeScript = script(
  4,
  `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'revision', '1', 'sealed', ARGV[3], 'signedInAt', ARGV[4])
return 1
`,
);

/**
 * Ends a flight with "these credentials are wrong", and the session it was to replace. Keys: session, lock, refusal.
 * Args: flight, fingerprint, code, message, at, stale id, ms until the same are tried again: first, later.
 */
export const refuseScript = script(
  3,
  `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if redis.call('HGET', KEYS[1], 'id') == ARGV[6] then redis.call('DEL', KEYS[1]) end
local before = redis.call('HMGET', KEYS[3], 'fingerprint', 'times')
local times = before[1] == ARGV[2] and tonumber(before[2] or 1) + 1 or 1
local till = now() + tonumber(times == 1 and ARGV[7] or ARGV[8])
redis.call('HSET', KEYS[3], 'fingerprint', ARGV[2], 'code', ARGV[3], 'message', ARGV[4], 'at', ARGV[5],
  'times', times, 'until', till)
return 1
`,
);

/** Whether the remembered refusal may be put to the test again. Keys: refusal. */
export const refusalIsDueScript = script(
  1,
  `
local till = redis.call('HGET', KEYS[1], 'until')
return till and now() >= tonumber(till) and 1 or 0
`,
);

/**
 * Ends a flight that got nowhere; those waiting for it share its outcome, and the next one waits: three times longer
 * with each failure in a row. Keys: lock, failure. Args: flight, outcome, first pause ms, longest pause ms, the pause
 * itself if it is known.
 */
export const failScript = script(
  2,
  `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
local times = tonumber(redis.call('HGET', KEYS[2], 'times') or 0) + 1
local pause = tonumber(ARGV[5]) or math.min(tonumber(ARGV[3]) * 3 ^ (times - 1), tonumber(ARGV[4]))
redis.call('HSET', KEYS[2], 'flight', ARGV[1], 'outcome', ARGV[2], 'times', times, 'until', now() + pause)
redis.call('PEXPIRE', KEYS[2], math.ceil(pause) + 2 * tonumber(ARGV[4]))
return 1
`,
);

/**
 * Saves changed data of the current session; returns the new revision, 0 when another session is current or a
 * flight is replacing this one: an ended session must not look new. Keys: session, lock. Args: id, sealed.
 */
export const rotateScript = script(
  2,
  `
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'revision', 1)
`,
);

/**
 * Puts a session made by a person in place of any other; a flight under way has lost its lock and changes nothing.
 * Keys: session, refusal, pending, lock, failure. Args: id, sealed, signedInAt.
 */
export const storeScript = script(
  5,
  `
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'revision', '1', 'sealed', ARGV[2], 'signedInAt', ARGV[3])
return 1
`,
);

/** Forgets the session if it is still the one named ('' = whichever). Keys: session. Args: id. */
export const clearScript = script(
  1,
  `
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`,
);

/**
 * Lets one ticket at a time have a code sent; the holder's own claim is given its new time. Returns 0, or the ms
 * that another's claim lasts. Keys: code-claim. Args: ticket, ms.
 */
export const claimCodeScript = script(
  1,
  `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return math.max(redis.call('PTTL', KEYS[1]), 1) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
`,
);

/** Gives a claim back, if it is still this ticket's. Keys: code-claim. Args: ticket. */
export const releaseCodeScript = script(
  1,
  `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`,
);
