/**
 * The API keys in force: those of the environment, and those of a file that is read again whenever it changes,
 * so that keys are replaced without a restart.
 *
 * Always true: a file that cannot be read or understood changes nothing; an empty one locks everybody out and
 * never opens the API.
 */
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { ConfigError } from '@recloser/runtime/env/env';
import type { Logger } from '@recloser/runtime/observe/logger';
import { type ApiKey, parseApiKeys } from './api-keys.ts';

export type KeyRing = {
  /** No keys are configured: everybody on this machine is let in. */
  readonly open: boolean;
  current(): readonly ApiKey[];
  /** Safe to call twice. */
  stop(): void;
};

type KeyRingOptions = {
  readonly keys: readonly ApiKey[];
  /** Path of a file with keys, if there is one. */
  readonly file?: string;
  readonly log: Pick<Logger, 'info' | 'error'>;
  /** How often the file is looked at, in ms. */
  readonly intervalMs?: number;
};

/** Reads the file and watches it. Throws `ConfigError` when it cannot be read now. */
export function createKeyRing({ keys, file, log, intervalMs = 1000 }: KeyRingOptions): KeyRing {
  if (file === undefined) return { open: keys.length === 0, current: () => keys, stop() {} };
  let current = [...keys, ...readKeys(file)];
  const reload = (): void => {
    try {
      current = [...keys, ...readKeys(file)];
      log.info({ keys: current.map(({ name }) => name) }, 'the API keys were read again');
    } catch (err) {
      log.error({ err }, 'the file of API keys was changed but is not valid: the keys stay as they were');
    }
  };
  watchFile(file, { interval: intervalMs, persistent: false }, reload);
  return { open: false, current: () => current, stop: () => unwatchFile(file, reload) };
}

function readKeys(file: string): ApiKey[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ConfigError('The configuration is not valid:\n  API_KEYS_FILE: cannot be read', { cause });
  }
  const parsed = parseApiKeys(text);
  if (!parsed.ok)
    throw new ConfigError(`The configuration is not valid:\n  API_KEYS_FILE: ${parsed.problem}`);
  return parsed.keys;
}
