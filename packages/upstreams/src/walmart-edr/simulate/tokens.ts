/**
 * The signed values of the simulated Retail Link: the JWT-shaped app token and the PingAccess cookie. The key is random
 * per simulation, so no value survives a restart.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** The claims of a signed value. Times are in whole seconds since the epoch, as in a JWT. */
export type Claims = { readonly sid: string; readonly iat: number; readonly exp: number };

/** Signs and checks values of the form header.payload.signature. */
export class Tokens {
  readonly #key = randomBytes(32);
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  issue(sid: string, lifeMs: number): { token: string; claims: Claims } {
    const iat = Math.floor(this.#now() / 1000);
    const claims = { sid, iat, exp: iat + Math.round(lifeMs / 1000) };
    const head = base64url({ alg: 'HS256', typ: 'JWT' });
    const payload = base64url({ ...claims, userId: 'simulator', jti: randomBytes(6).toString('hex') });
    return { token: `${head}.${payload}.${this.#sign(`${head}.${payload}`)}`, claims };
  }

  /** The session of a valid, unexpired value; null otherwise. */
  check(token: string | undefined): string | null {
    const [head, payload, signature] = token?.split('.') ?? [];
    if (!head || !payload || !signature) return null;
    const expected = Buffer.from(this.#sign(`${head}.${payload}`));
    const given = Buffer.from(signature);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims;
    return this.#now() < claims.exp * 1000 ? claims.sid : null;
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url');
  }
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
