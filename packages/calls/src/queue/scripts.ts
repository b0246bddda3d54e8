/** Loads Recloser's and BullMQ's Lua scripts and runs them on a connection. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Redis } from '@recloser/runtime/redis/connection';

/** A script of BullMQ: its text and its number of keys. */
export type BullScript = { readonly content: string; readonly keys: number };

const bullScripts = createRequire(import.meta.url)('bullmq/dist/cjs/scripts/index.js') as Readonly<
  Record<string, BullScript | undefined>
>;

/** A script of the installed BullMQ release. Throws if there is none with this name. */
export function bullScript(name: string): BullScript {
  const script = bullScripts[name];
  if (!script) throw new Error(`BullMQ has no script ${name}`);
  return script;
}

/** Wraps BullMQ's script in the Lua function `bull(KEYS, ARGV)`, which `ours` can call. */
export function around(bull: BullScript, ours: string): string {
  return `local function bull(KEYS, ARGV)\n${bull.content}\nend\n${ours}`;
}

/** The text of `lua/<file>.lua`. */
export function lua(file: string): string {
  return readFileSync(new URL(`./lua/${file}.lua`, import.meta.url), 'utf8');
}

export type ScriptArgument = string | number | Buffer;
type Command<Answer> = (...args: ScriptArgument[]) => Promise<Answer>;

/** The script as a command, defined once per connection. ioredis then sends only its digest. */
export function scriptCommand<Answer>(
  redis: Redis,
  name: string,
  define: () => { readonly numberOfKeys: number; readonly lua: string },
): Command<Answer> {
  const commands = redis as unknown as Record<string, Command<Answer> | undefined>;
  if (!commands[name]) redis.defineCommand(name, define());
  return (commands[name] as Command<Answer>).bind(redis);
}
