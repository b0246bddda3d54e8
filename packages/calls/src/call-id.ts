/**
 * Ids of calls: `<upstream>-<uuid version 7>`. We choose them before anything is written, so a write whose
 * answer was lost can be looked up, and the same write sent twice stores one call.
 */
import { v7 as uuidv7, validate, version } from 'uuid';

const uuidLength = 36;

/** A fresh id for a call to `upstream`. */
export function newCallId(upstream: string): string {
  return `${upstream}-${uuidv7()}`;
}

/** The upstream a call id belongs to, or undefined when no such id can exist. */
export function upstreamOfCallId<Name extends string>(id: string, names: readonly Name[]): Name | undefined {
  const uuid = id.slice(-uuidLength);
  if (!validate(uuid) || version(uuid) !== 7 || uuid !== uuid.toLowerCase()) return undefined;
  return names.find((name) => id === `${name}-${uuid}`);
}

/** When the id was made, in ms since 1970; NaN for something that is no call id. */
export function timeOfCallId(id: string): number {
  const digits = id.slice(-uuidLength).replace('-', '').slice(0, 12);
  return /^[0-9a-f]{12}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
}
