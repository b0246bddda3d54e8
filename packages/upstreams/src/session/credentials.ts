/** How the credentials of an upstream are told apart in Redis, which never holds them. */
import { scryptSync } from 'node:crypto';

/**
 * Tells credentials apart without giving them away: derived slowly (tens of ms), so that a password cannot be
 * guessed from what Redis holds. Compute it once per client.
 */
export function credentialsFingerprint(username: string, password: string): string {
  return scryptSync(password, `recloser fingerprint ${username}`, 32).toString('base64url');
}
