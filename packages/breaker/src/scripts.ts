/**
 * Loads the Lua scripts that move the fleet breaker and runs them on one upstream's keys.
 * Always true: every script gets the same seven keys, all in one hash slot, and reads Redis' own clock.
 */
import { readFileSync } from 'node:fs';
import type { Cluster, Redis } from 'ioredis';
import { type FleetReply, parseReply } from './record.ts';

export type RedisConnection = Redis | Cluster;

const scriptNames = [
  'abandon',
  'admit',
  'aside-until',
  'begin-trial',
  'come-back',
  'end-probe',
  'failure',
  'heartbeat',
  'hold',
  'idle',
  'leave',
  'note-repair',
  'read',
  'release',
  'report-rate',
  'steer',
  'success',
  'unlimit',
] as const;

export type ScriptName = (typeof scriptNames)[number];

export type Scripts = { run(name: ScriptName, ...args: (string | number)[]): Promise<FleetReply> };

const lua = (file: string) => readFileSync(new URL(`./lua/${file}.lua`, import.meta.url), 'utf8');

const keySuffixes = ['breaker', 'holds', 'permits', 'workers', 'evidence', 'aside', 'transitions'];

/** Which clock a connection's commands were defined with: they are defined once, not at every use. */
const definedWith = new WeakMap<RedisConnection, string>();

let clockSource: string | undefined;
const systemClock = (): string => {
  clockSource ??= lua('clock');
  return clockSource;
};

function define(redis: RedisConnection, clock: string): void {
  const prelude = `${clock}\n${lua('prelude')}`;
  for (const name of scriptNames) {
    redis.defineCommand(`breaker:${name}`, {
      numberOfKeys: keySuffixes.length,
      lua: `${prelude}\n${lua(name)}`,
    });
  }
  definedWith.set(redis, clock);
}

type Command = (...args: (string | number)[]) => Promise<string>;

/**
 * Binds the scripts to a connection and one upstream.
 * @param root key prefix of the upstream, with its hash tag, e.g. `recloser:{crossmark}`
 * @param clock Lua that defines `now()`; tests pass one that they can set
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
