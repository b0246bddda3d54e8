/**
 * The capabilities that a worker publishes with each heartbeat: which calls it can make and which addresses it uses. An
 * advert contains no keys, credentials or URL paths.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';

/** `hash` covers the whole URL. */
const addressSchema = z.looseObject({ host: z.string(), hash: z.string() });

const advertSchema = z.looseObject({
  operations: z.array(z.string()),
  /** Envelope versions that the worker can read. */
  envelopes: z.array(z.number()),
  /** Fingerprints of the worker's session keys. */
  keys: z.array(z.string()),
  /** Keyed by environment variable without the prefix of the upstream. */
  addresses: z.record(z.string(), addressSchema),
});

export type Advert = z.infer<typeof advertSchema>;

/** A live worker. `advert` is null for a release that publishes none. */
export type LiveWorker = { readonly id: string; readonly startedAt: number; readonly advert: Advert | null };

/** Parses an advert from Redis. Null if it is not one. */
export function parseAdvert(advert: unknown): Advert | null {
  return advertSchema.safeParse(advert).data ?? null;
}

/** The publishable form of an upstream's URL. */
export function advertisedAddress(url: string): Advert['addresses'][string] {
  const hash = createHash('sha256').update(url).digest('hex').slice(0, 12);
  return { host: URL.parse(url)?.host ?? '', hash };
}

/** A variable whose value differs between a worker and the fleet. The hosts may be equal if only the paths differ. */
export type AddressDifference = {
  readonly variable: string;
  readonly host: string;
  readonly fleetHost: string;
};

/**
 * Compares a worker's addresses with those that most live workers use. In a tie, the oldest worker's address counts.
 */
export function addressDifferences(
  { advert }: Pick<LiveWorker, 'advert'>,
  fleet: readonly LiveWorker[],
): AddressDifference[] {
  return Object.entries(advert?.addresses ?? {}).flatMap(([variable, { host, hash }]) => {
    const usual = usualAddress(fleet, variable);
    return usual && usual.hash !== hash ? [{ variable, host, fleetHost: usual.host }] : [];
  });
}

function usualAddress(
  fleet: readonly LiveWorker[],
  variable: string,
): Advert['addresses'][string] | undefined {
  const oldestFirst = fleet.toSorted((a, b) => a.startedAt - b.startedAt || (a.id < b.id ? -1 : 1));
  const used = oldestFirst.flatMap(({ advert }) => advert?.addresses[variable] ?? []);
  const votes = (hash: string) => used.filter((address) => address.hash === hash).length;
  // The sort is stable: in a tie, the oldest worker's address stays first.
  return used.toSorted((a, b) => votes(b.hash) - votes(a.hash))[0];
}
