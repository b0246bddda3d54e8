/**
 * Personal values are stored encrypted: input fields one by one, results as a whole. A sealed value is
 * `{sealed: string}`; what the string holds is the JSON of the value.
 */

/** Encrypts and decrypts; `open` throws when the text was not sealed with one of `keys` (fingerprints). */
export type Sealer = {
  seal(plain: string): string;
  open(sealed: string): string;
  /** The one that seals is the first. */
  readonly keys?: readonly string[];
};

/** A value as it is stored when it is personal. */
export type Sealed = { readonly sealed: string };

/** True for a value that `sealValue` made. */
export function isSealed(value: unknown): value is Sealed {
  if (typeof value !== 'object' || value === null) return false;
  const keys = Object.keys(value);
  return keys.length === 1 && 'sealed' in value && typeof value.sealed === 'string';
}

/** Encrypts one value. */
export function sealValue(value: unknown, sealer: Sealer): Sealed {
  return { sealed: sealer.seal(JSON.stringify(value ?? null)) };
}

/** The value behind a sealed one; anything else is returned as it is. Throws what the sealer throws. */
export function openValue(value: unknown, sealer: Sealer): unknown {
  return isSealed(value) ? JSON.parse(sealer.open(value.sealed)) : value;
}

/** A copy of `input` in which the named fields are encrypted. Absent fields stay absent. */
export function sealInput(
  input: Readonly<Record<string, unknown>>,
  fields: readonly string[],
  sealer: Sealer,
): Record<string, unknown> {
  return mapFields(input, (value, name) => (fields.includes(name) ? sealValue(value, sealer) : value));
}

/** Names the key that a stored input was just sealed with; empty when nothing in it is sealed. */
export function sealedWith(
  input: Readonly<Record<string, unknown>>,
  { keys }: Sealer,
): { readonly sealedWith?: string } {
  return keys?.[0] && Object.values(input).some(isSealed) ? { sealedWith: keys[0] } : {};
}

/** The input as the application sent it. Throws what the sealer throws. */
export function openInput(input: Readonly<Record<string, unknown>>, sealer: Sealer): Record<string, unknown> {
  return mapFields(input, (value) => openValue(value, sealer));
}

/** The input as it may be shown: every sealed field reads `[sealed]`. */
export function maskInput(input: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return mapFields(input, (value) => (isSealed(value) ? '[sealed]' : value));
}

function mapFields(
  input: Readonly<Record<string, unknown>>,
  change: (value: unknown, name: string) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(input)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, change(value, name)]),
  );
}
