/**
 * Signs callbacks according to Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`. There is one signature per
 * secret, so that receivers can verify callbacks during a rotation of secrets. https://www.standardwebhooks.com
 */
import { createHmac } from 'node:crypto';

/** Creates the headers of one delivery. */
export type CallbackSigner = {
  /** `timestampSeconds`: time of this delivery attempt, in seconds since 1970. */
  sign(id: string, timestampSeconds: number, body: string): Readonly<Record<string, string>>;
};

const minBytes = 24;
const maxBytes = 64;

/**
 * Parses `whsec_<base64>,…`, with 24 to 64 bytes each. `problem` names the entry by its number and repeats no secret.
 */
export function parseCallbackSecrets(
  text: string,
): { ok: true; signer: CallbackSigner } | { ok: false; problem: string } {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '');
  const keys: Buffer[] = [];
  for (const [index, entry] of entries.entries()) {
    const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(entry) ?? [];
    const key = Buffer.from(base64, 'base64');
    if (key.length < minBytes || key.length > maxBytes) {
      return {
        ok: false,
        problem: `entry ${index + 1} must be whsec_ followed by ${minBytes} to ${maxBytes} bytes in base64; create one with: echo whsec_$(openssl rand -base64 32)`,
      };
    }
    keys.push(key);
  }
  if (keys.length === 0) return { ok: false, problem: 'must contain at least one secret' };
  return { ok: true, signer: createSigner(keys) };
}

function createSigner(keys: readonly Buffer[]): CallbackSigner {
  return {
    sign(id, timestampSeconds, body) {
      const signatures = keys.map((key) => {
        const digest = createHmac('sha256', key).update(`${id}.${timestampSeconds}.${body}`).digest('base64');
        return `v1,${digest}`;
      });
      return {
        'webhook-id': id,
        'webhook-timestamp': String(timestampSeconds),
        'webhook-signature': signatures.join(' '),
      };
    },
  };
}
