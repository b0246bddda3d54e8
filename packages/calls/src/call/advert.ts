/**
 * What a worker says of itself with each heartbeat, so that others know what it can make and where it sends it.
 * Always true: no key, no credential and no path of an address is in it.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';

/** `hash` is of the whole address. */
const addressSchema = z.looseObject({ host: z.string(), hash: z.string() });

const advertSchema = z.looseObject({
  operations: z.array(z.string()),
  /** Versions of the envelope that it reads. */
  envelopes: z.array(z.number()),
  /** Fingerprints of its session keys. */
  keys: z.array(z.string()),
  /** By variable, without the upstream's prefix. */
  addresses: z.record(z.string(), addressSchema),
});

export type Advert = z.infer<typeof advertSchema>;

/** A worker that lives; `advert` null: of a release that says nothing of itself. */
export type LiveWorker = { readonly id: string; readonly startedAt: number; readonly advert: Advert | null };

/** Reads what came out of Redis; null for what is no advert. */
export function parseAdvert(advert: unknown): Advert | null {
  return advertSchema.safeParse(advert).data ?? null;
}

/** An upstream's address as it may be shown. */
export function advertisedAddress(url: string): Advert['addresses'][string] {
  const hash = createHash('sha256').update(url).digest('hex').slice(0, 12);
  return { host: URL.parse(url)?.host ?? '', hash };
}

/** A variable of a worker whose value is not the fleet's; the hosts may be the same and only the paths differ. */
export type AddressDifference = {
  readonly variable: string;
  readonly host: string;
  readonly fleetHost: string;
};

/** Where a worker's addresses differ from the fleet's: those that most live workers use; in a tie, the oldest's. */
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
  // A stable sort: of two with as many votes the oldest worker's stays first.
  return used.toSorted((a, b) => votes(b.hash) - votes(a.hash))[0];
}
