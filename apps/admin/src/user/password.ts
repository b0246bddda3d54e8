/**
 * Password hashes: scrypt, written as `scrypt$N$r$p$salt$key` with salt and key in base64url. Always true:
 * a hash holds no colon and no space, because ADMIN_USERS separates with them.
 */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

const cost = { N: 2 ** 15, r: 8, p: 1 } as const;
const keyBytes = 32;
const pattern = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([\w-]{11,})\$([\w-]{22,})$/;

type Parts = { readonly options: ScryptOptions; readonly salt: Buffer; readonly key: Buffer };

/** Hashes a password for ADMIN_USERS; takes about 60 ms on purpose. `N` is scrypt's cost, a power of two. */
export async function hashPassword(password: string, N: number = cost.N): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password, salt, keyBytes, scryptOptions(N, cost.r, cost.p));
  return ['scrypt', N, cost.r, cost.p, salt.toString('base64url'), key.toString('base64url')].join('$');
}

/** True when the password made this hash. The comparison takes the same time for every wrong password. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const parts = parse(hash);
  if (parts === null) return false;
  const key = await derive(password, parts.salt, parts.key.length, parts.options);
  return timingSafeEqual(key, parts.key);
}

/** True when the text is a hash this file can check: well formed, and not so dear that a login stalls. */
export function isPasswordHash(text: string): boolean {
  return parse(text) !== null;
}

function parse(hash: string): Parts | null {
  const match = pattern.exec(hash);
  if (match === null) return null;
  const [N, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const isPowerOfTwo = N > 1 && (N & (N - 1)) === 0;
  if (!isPowerOfTwo || N > 2 ** 20 || r < 1 || r > 32 || p < 1 || p > 16) return null;
  const salt = Buffer.from(match[4] ?? '', 'base64url');
  const key = Buffer.from(match[5] ?? '', 'base64url');
  return { options: scryptOptions(N, r, p), salt, key };
}

function scryptOptions(N: number, r: number, p: number): ScryptOptions {
  // Node's own limit of 32 MiB is just below what N = 32768 needs.
  return { N, r, p, maxmem: 256 * N * r };
}

function derive(password: string, salt: Buffer, bytes: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, bytes, options, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}
