/**
 * Encrypts personal values: input fields one by one, results as a whole. A sealed value is `{sealed: string}`. The
 * string is the encrypted JSON of the value.
 */
import type { Sealer } from '@recloser/runtime/secrets/seal';

/** A personal value as it is stored. */
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

/** Decrypts a sealed value and returns any other value unchanged. Throws `SealError`. */
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

/** The fingerprint of the key that sealed `input`. Empty if no field is sealed. */
export function sealedWith(
  input: Readonly<Record<string, unknown>>,
  { keys }: Sealer,
): { readonly sealedWith?: string } {
  return keys[0] && Object.values(input).some(isSealed) ? { sealedWith: keys[0] } : {};
}

/** The input as the application sent it. Throws `SealError`. */
export function openInput(input: Readonly<Record<string, unknown>>, sealer: Sealer): Record<string, unknown> {
  return mapFields(input, (value) => openValue(value, sealer));
}

/** The input as the API shows it: the value of a sealed field is `[sealed]`. */
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
