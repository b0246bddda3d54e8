/**
 * Signs callbacks as Standard Webhooks says: HMAC-SHA256 over `id.timestamp.body`, one signature per secret, so
 * that a receiver accepts them while secrets are rotated. https://www.standardwebhooks.com
 *
 * Always true: the secrets live inside the signer only; no message repeats one.
 */
import { createHmac } from 'node:crypto';

/** Makes the headers of one delivery. */
export type CallbackSigner = {
  /** @param timestampSeconds since 1970, when this attempt is made */
  sign(id: string, timestampSeconds: number, body: string): Readonly<Record<string, string>>;
};

const minBytes = 24;
const maxBytes = 64;

/** Parses `whsec_<base64>,…`, each 24 to 64 bytes. The problem names the entry by its number only. */
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
        problem: `entry ${index + 1} must be whsec_ and ${minBytes} to ${maxBytes} bytes as base64; make one with: echo whsec_$(openssl rand -base64 32)`,
      };
    }
    keys.push(key);
  }
  if (keys.length === 0) return { ok: false, problem: 'must name at least one secret' };
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
