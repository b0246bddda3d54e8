/** JSON values that are kept encrypted. */

/** Encrypts text and opens it again; `open` throws for anything it did not seal. */
export type SessionSealer = { seal(plain: string): string; open(sealed: string): string };

/** A JSON value as sealed text. */
export function sealJson(sealer: SessionSealer, data: unknown): string {
  return sealer.seal(JSON.stringify(data));
}

/** The value out of sealed text; null when it was changed or sealed with another key. */
export function openJson(sealer: SessionSealer, sealed: string): unknown {
  try {
    return JSON.parse(sealer.open(sealed));
  } catch {
    return null;
  }
}
