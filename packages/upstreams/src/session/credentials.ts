/** Identifies an upstream's credentials in Redis without storing them. */
import { scryptSync } from 'node:crypto';

/**
 * A fingerprint of the credentials. The derivation is slow (tens of ms), so that nobody can guess a password from
 * Redis. Compute it once per client.
 */
export function credentialsFingerprint(username: string, password: string): string {
  return scryptSync(password, `recloser fingerprint ${username}`, 32).toString('base64url');
}
