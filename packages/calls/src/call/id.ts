/**
 * Ids of calls: `<upstream>-<uuid version 7>`. We choose them before anything is written, so a write whose
 * answer was lost can be looked up, and the same write sent twice stores one call.
 *
 * Always true: the last six digits are a checksum over upstream and the rest of the id, so that the id of a call
 * that is no longer kept can be told from one that nobody ever gave out. It is no secret and protects nothing;
 * 50 random bits per millisecond remain.
 */
import { hash } from 'node:crypto';
import { v7 as uuidv7, validate, version } from 'uuid';

const uuidLength = 36;
const checksumLength = 6;

/** A fresh id for a call to `upstream`. */
export function newCallId(upstream: string): string {
  const body = uuidv7().slice(0, -checksumLength);
  return `${upstream}-${body}${checksum(upstream, body)}`;
}

/** The upstream a call id belongs to, or undefined when no such id can exist. */
export function upstreamOfCallId<Name extends string>(id: string, names: readonly Name[]): Name | undefined {
  const uuid = id.slice(-uuidLength);
  if (!validate(uuid) || version(uuid) !== 7 || uuid !== uuid.toLowerCase()) return undefined;
  return names.find((name) => id === `${name}-${uuid}`);
}

/** True for an id that `newCallId` made; any other one passes once in 16 million. */
export function wasGivenOut(id: string): boolean {
  const upstream = id.slice(0, -uuidLength - 1);
  const body = id.slice(-uuidLength, -checksumLength);
  return id.slice(-checksumLength) === checksum(upstream, body);
}

/** When the id was made, in ms since 1970; NaN for something that is no call id. */
export function timeOfCallId(id: string): number {
  const digits = id.slice(-uuidLength).replace('-', '').slice(0, 12);
  return /^[0-9a-f]{12}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
}

/** What orders calls of all upstreams by the time they were accepted: the later one is the greater text. */
export function orderOfCallId(id: string): string {
  return id.slice(-uuidLength);
}

function checksum(upstream: string, body: string): string {
  return hash('sha256', `call id ${upstream} ${body}`).slice(0, checksumLength);
}
