/**
 * Call ids: `<upstream>-<UUID version 7>`. The id is chosen before the first write, so a write without a response can
 * be looked up, and a repeated write stores one call. The last six digits are a checksum, which distinguishes the id of
 * a trimmed call from an id that was never issued. The checksum is not a security feature.
 */
import { hash } from 'node:crypto';
import { v7 as uuidv7, validate, version } from 'uuid';

const uuidLength = 36;
const checksumLength = 6;

/** Creates the id of a new call. */
export function newCallId(upstream: string): string {
  const body = uuidv7().slice(0, -checksumLength);
  return `${upstream}-${body}${checksum(upstream, body)}`;
}

/** The upstream of a call id. Undefined if it is not a valid call id. */
export function upstreamOfCallId<Name extends string>(id: string, names: readonly Name[]): Name | undefined {
  const uuid = id.slice(-uuidLength);
  if (!validate(uuid) || version(uuid) !== 7 || uuid !== uuid.toLowerCase()) return undefined;
  return names.find((name) => id === `${name}-${uuid}`);
}

/** True if `newCallId` created the id. The chance of a false positive is one in 16 million. */
export function wasGivenOut(id: string): boolean {
  const upstream = id.slice(0, -uuidLength - 1);
  const body = id.slice(-uuidLength, -checksumLength);
  return id.slice(-checksumLength) === checksum(upstream, body);
}

/** Creation time of the id in ms since 1970. NaN if it is not a call id. */
export function timeOfCallId(id: string): number {
  const digits = id.slice(-uuidLength).replace('-', '').slice(0, 12);
  return /^[0-9a-f]{12}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
}

/** A sort key by time of acceptance, across upstreams. A later call has a greater key. */
export function orderOfCallId(id: string): string {
  return id.slice(-uuidLength);
}

function checksum(upstream: string, body: string): string {
  return hash('sha256', `call id ${upstream} ${body}`).slice(0, checksumLength);
}
