/**
 * Encrypts what is stored but must not be readable: upstream sessions and personal input fields. Uses AES-256-GCM with
 * a random nonce. A version prefix lets the format change.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ConfigError } from '../env/env.ts';
import { secretInFile } from './secret-file.ts';

/** The text is not sealed, was modified or cut, or was sealed with another key. */
export class SealError extends Error {
  readonly code = 'seal_broken';
  override readonly name = 'SealError';
}

/** `open` throws {@link SealError}. */
export type Sealer = {
  seal(plain: string): string;
  open(sealed: string): string;
  /** Fingerprints of the keys, the sealing key first. They identify a key without revealing it. */
  readonly keys: readonly string[];
};

const version = 's1.';
const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/** Keys of 32 bytes. The first one seals. All of them open, so that a key can be rotated. */
type SessionKeys = readonly [Buffer, ...Buffer[]];

export function createSealer(...keys: SessionKeys): Sealer {
  for (const key of keys) {
    if (key.length !== keyBytes)
      throw new RangeError(`a sealing key must have ${keyBytes} bytes, not ${key.length}`);
  }
  return {
    keys: keys.map(fingerprintOf),
    seal: (plain) => sealWith(keys[0], plain),
    open(sealed) {
      const bytes = Buffer.from(sealed.slice(version.length), 'base64url');
      if (!sealed.startsWith(version) || bytes.length < nonceBytes + tagBytes)
        throw new SealError('the text is not sealed');
      let cause: unknown;
      for (const key of keys) {
        try {
          return openWith(key, bytes);
        } catch (error) {
          cause = error;
        }
      }
      throw new SealError('the sealed text was modified, or SESSION_KEY lacks the key that sealed it', {
        cause,
      });
    },
  };
}

function fingerprintOf(key: Buffer): string {
  return createHmac('sha256', key)
    .update('recloser: fingerprint of a session key')
    .digest('hex')
    .slice(0, 16);
}

function sealWith(key: Buffer, plain: string): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return version + Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url');
}

function openWith(key: Buffer, bytes: Buffer): string {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAuthTag(bytes.subarray(-tagBytes));
  const body = decipher.update(bytes.subarray(nonceBytes, -tagBytes));
  return Buffer.concat([body, decipher.final()]).toString('utf8');
}

/**
 * Reads the keys of `SESSION_KEY`: 32 bytes each, base64 or hex, separated by commas during a rotation. Without it,
 * outside production, creates a key in `<dataDir>/session-key` (mode 0600), so that all processes of one machine share
 * it. Throws {@link ConfigError}.
 */
export function loadSessionKeys(options: {
  readonly SESSION_KEY?: string | undefined;
  readonly NODE_ENV: string;
  readonly dataDir: string;
}): SessionKeys {
  if (options.SESSION_KEY) {
    const [first = '', ...older] = options.SESSION_KEY.split(',');
    const decode = (text: string): Buffer => decodeKey(text, 'SESSION_KEY');
    return [decode(first), ...older.map(decode)];
  }
  if (options.NODE_ENV === 'production') {
    throw new ConfigError(
      'The configuration is not valid:\n  SESSION_KEY: is required in production; create one with `openssl rand -base64 32`',
    );
  }
  const path = join(options.dataDir, 'session-key');
  return [
    decodeKey(
      secretInFile(path, () => randomBytes(keyBytes).toString('base64')),
      path,
    ),
  ];
}

function decodeKey(text: string, source: string): Buffer {
  const trimmed = text.trim();
  const key = Buffer.from(trimmed, /^[0-9a-fA-F]{64}$/.test(trimmed) ? 'hex' : 'base64');
  if (key.length === keyBytes) return key;
  throw new ConfigError(
    `The configuration is not valid:\n  ${source}: must be 32 bytes, as base64 or as 64 hex digits`,
  );
}
