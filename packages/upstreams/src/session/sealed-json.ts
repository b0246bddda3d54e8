/** JSON values that are stored encrypted. */
import type { Sealer } from '@recloser/runtime/secrets/seal';

/** The part of a `Sealer` that sessions use. */
export type SessionSealer = Pick<Sealer, 'seal' | 'open'>;

/** A JSON value as sealed text. */
export function sealJson(sealer: SessionSealer, data: unknown): string {
  return sealer.seal(JSON.stringify(data));
}

/** The value in a sealed text; null if the text was changed or sealed with another key. */
export function openJson(sealer: SessionSealer, sealed: string): unknown {
  try {
    return JSON.parse(sealer.open(sealed));
  } catch {
    return null;
  }
}
