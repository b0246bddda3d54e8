/**
 * The active API keys, from the environment and from a file that is reloaded when it changes. After an invalid change,
 * the previous keys stay active. An empty file denies all requests; it never opens the API.
 */
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { ConfigError } from '@recloser/runtime/env/env';
import type { Logger } from '@recloser/runtime/observe/logger';
import { type ApiKey, parseApiKeys } from './api-keys.ts';

export type KeyRing = {
  /** True if no keys are configured: every request from this machine is allowed. */
  readonly open: boolean;
  current(): readonly ApiKey[];
  /** Safe to call twice. */
  stop(): void;
};

type KeyRingOptions = {
  readonly keys: readonly ApiKey[];
  /** Path of a file with keys. */
  readonly file?: string;
  readonly log: Pick<Logger, 'info' | 'error'>;
  /** Interval of the checks for changes, in ms. */
  readonly intervalMs?: number;
};

/** Reads and watches the file. Throws `ConfigError` if the file cannot be read or is invalid. */
export function createKeyRing({ keys, file, log, intervalMs = 1000 }: KeyRingOptions): KeyRing {
  if (file === undefined) return { open: keys.length === 0, current: () => keys, stop() {} };
  let current = [...keys, ...readKeys(file)];
  const reload = (): void => {
    try {
      current = [...keys, ...readKeys(file)];
      log.info({ keys: current.map(({ name }) => name) }, 'the API keys were reloaded');
    } catch (err) {
      log.error({ err }, 'API_KEYS_FILE was changed but is not valid; the previous keys stay active');
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
