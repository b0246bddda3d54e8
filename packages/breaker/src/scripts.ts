/**
 * Loads the Lua scripts of the fleet breaker and runs them on an upstream's keys. Every script gets the same eight
 * keys, all in one hash slot, and reads Redis' clock.
 */
import { readFileSync } from 'node:fs';
import type { Cluster, Redis } from 'ioredis';
import { type FleetReply, parseReply } from './record.ts';

export type RedisConnection = Redis | Cluster;

/** Script names by folder. */
const scriptFolders = {
  attempt: ['abandon', 'admit', 'failure', 'report-rate', 'success'],
  hold: ['hold', 'note-repair', 'release'],
  trial: ['begin-trial', 'end-probe', 'idle', 'steer', 'unlimit'],
  worker: ['aside-until', 'come-back', 'heartbeat', 'leave', 'set-aside'],
  '.': ['read'],
} as const;

type ScriptName = (typeof scriptFolders)[keyof typeof scriptFolders][number];

export type Scripts = { run(name: ScriptName, ...args: (string | number)[]): Promise<FleetReply> };

const lua = (file: string) => readFileSync(new URL(`./lua/${file}.lua`, import.meta.url), 'utf8');

const keySuffixes = ['breaker', 'holds', 'permits', 'workers', 'evidence', 'aside', 'transitions', 'adverts'];

/** The clock that a connection's commands were defined with, so that they are defined once. */
const definedWith = new WeakMap<RedisConnection, string>();

let clockSource: string | undefined;
const systemClock = (): string => {
  clockSource ??= lua('clock');
  return clockSource;
};

function define(redis: RedisConnection, clock: string): void {
  const prelude = `${clock}\n${lua('prelude')}`;
  for (const [folder, names] of Object.entries(scriptFolders)) {
    for (const name of names) {
      redis.defineCommand(`breaker:${name}`, {
        numberOfKeys: keySuffixes.length,
        lua: `${prelude}\n${lua(`${folder}/${name}`)}`,
      });
    }
  }
  definedWith.set(redis, clock);
}

type Command = (...args: (string | number)[]) => Promise<string>;

/**
 * Binds the scripts to a connection and one upstream.
 * @param root key prefix of the upstream, with its hash tag, e.g. `recloser:{crossmark}`
 * @param clock Lua code that defines `now()`; tests pass a clock that they control
 */
export function createScripts(redis: RedisConnection, root: string, clock: string = systemClock()): Scripts {
  const keys = keySuffixes.map((suffix) => `${root}:${suffix}`);
  const commands = redis as unknown as Record<string, Command>;
  if (definedWith.get(redis) !== clock) define(redis, clock);
  return {
    async run(name, ...args) {
      const command = commands[`breaker:${name}`] as Command;
      return parseReply(await command.call(redis, ...keys, ...args));
    },
  };
}
