/**
 * Encrypts the little that must be kept and must not be read: upstream sessions, personal input fields.
 *
 * Always true: AES-256-GCM, a fresh random nonce each time, and a version in front so that the format can change.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ConfigError } from '../env/env.ts';
import { secretInFile } from './secret-file.ts';

/** A sealed text was changed, cut, sealed with another key, or is not one. */
export class SealError extends Error {
  readonly code = 'seal_broken';
  override readonly name = 'SealError';
}

/** Seals text and opens it again; `open` throws {@link SealError}. */
export type Sealer = {
  seal(plain: string): string;
  open(sealed: string): string;
  /** Fingerprints of the keys, the one that seals first. They tell keys apart and give nothing of them away. */
  readonly keys: readonly string[];
};

const version = 's1.';
const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/** Keys of 32 bytes. The first seals; all of them open, so that a key can be replaced while its texts are about. */
export type SessionKeys = readonly [Buffer, ...Buffer[]];

/** A sealer over one key or several, see {@link SessionKeys}. */
export function createSealer(...keys: SessionKeys): Sealer {
  for (const key of keys) {
    if (key.length !== keyBytes)
      throw new RangeError(`a sealing key has ${keyBytes} bytes, this one ${key.length}`);
  }
  return {
    keys: keys.map(fingerprintOf),
    seal: (plain) => sealWith(keys[0], plain),
    open(sealed) {
      const bytes = Buffer.from(sealed.slice(version.length), 'base64url');
      if (!sealed.startsWith(version) || bytes.length < nonceBytes + tagBytes)
        throw new SealError('not a sealed text');
      let cause: unknown;
      for (const key of keys) {
        try {
          return openWith(key, bytes);
        } catch (error) {
          cause = error;
        }
      }
      throw new SealError(
        'the sealed text was changed, or no key of SESSION_KEY is the one it was sealed with',
        {
          cause,
        },
      );
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
 * The keys of `SESSION_KEY`: 32 bytes each (base64 or hex), several separated by commas while one is replaced. Without
 * it, outside production, a key is made once and kept in `<dataDir>/session-key` (mode 0600), so that all processes of
 * one machine share it. Throws {@link ConfigError}.
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
      'The configuration is not valid:\n  SESSION_KEY: is required in production; make one with `openssl rand -base64 32`',
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
    `The configuration is not valid:\n  ${source}: must be 32 bytes as base64 or as 64 hex digits`,
  );
}
