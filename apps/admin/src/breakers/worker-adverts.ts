/** What the live workers of an upstream say of themselves, as the card shows it. */
import type { Advertised } from '@recloser/breaker/adverts';
import { type AddressDifference, addressDifferences, parseAdvert } from '@recloser/calls/call/advert';
import { mayMeet, type Need, needInWords } from '@recloser/calls/call/need';

/** Something that waiting calls need and no live worker has. */
export type UnmetNeed = { readonly kind: Need['kind']; readonly words: string };

/** The needs that still nobody meets: a worker that does may have started since they were noted. */
export function unmetNeeds(noted: readonly Need[], workers: readonly Advertised[]): UnmetNeed[] {
  const isMet = (need: Need) =>
    // Which key is meant is not known: only the workers can tell, by the calls that they meet.
    !(need.kind === 'session-key' && need.fingerprint === null) &&
    workers.some(({ advert }) => mayMeet(parseAdvert(advert), need, []));
  return noted.filter((need) => !isMet(need)).map((need) => ({ kind: need.kind, words: needInWords(need) }));
}

/** By worker id. */
export function differencesOf(
  workers: readonly Advertised[],
): ReadonlyMap<string, readonly AddressDifference[]> {
  const fleet = workers.map((worker) => ({ ...worker, advert: parseAdvert(worker.advert) }));
  return new Map(fleet.map((worker) => [worker.id, addressDifferences(worker, fleet)]));
}
