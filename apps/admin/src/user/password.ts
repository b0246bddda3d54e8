/**
 * Password hashes: scrypt, as `scrypt$N$r$p$salt$key` with salt and key in base64url. A hash contains no colon and no
 * space, because these are the separators of ADMIN_USERS.
 */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

const cost = { N: 2 ** 15, r: 8, p: 1 } as const;
const keyBytes = 32;
const pattern = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([\w-]{11,})\$([\w-]{22,})$/;

type Parts = { readonly options: ScryptOptions; readonly salt: Buffer; readonly key: Buffer };

/** Hashes a password. Takes about 60 ms by design. `N` is scrypt's cost, a power of two. */
export async function hashPassword(password: string, N: number = cost.N): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password, salt, keyBytes, scryptOptions(N, cost.r, cost.p));
  return ['scrypt', N, cost.r, cost.p, salt.toString('base64url'), key.toString('base64url')].join('$');
}

/** True when the password matches the hash. Compares in constant time. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const parts = parse(hash);
  if (parts === null) return false;
  const key = await derive(password, parts.salt, parts.key.length, parts.options);
  return timingSafeEqual(key, parts.key);
}

/** True when the text is a well-formed hash whose cost does not stall a login. */
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
  // Node's default limit of 32 MiB is too low for N = 32768.
  return { N, r, p, maxmem: 256 * N * r };
}

function derive(password: string, salt: Buffer, bytes: number, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, bytes, options, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}
