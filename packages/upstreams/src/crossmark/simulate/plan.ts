/**
 * The plan of the simulated Crossmark: items, visits and pending work. Any 8-digit mPlanID is an item, with data
 * derived from the id. Reads see a write after the read-back lag, the ledger sees it at once.
 */
import { randomUUID } from 'node:crypto';
import { dateOfDay, type SimulatedVisit, stableHash } from '../../simulation/simulation.ts';

/** The contents of a schedule request. Times are in milliseconds since the epoch. */
export type Booking = {
  readonly mPlanId: string;
  readonly locationId: string;
  readonly repId: string;
  readonly startMs: number;
  readonly endMs: number;
};

/** One visit. `versions`: its history by the time at which reads see each version; null means removed. */
export type Visit = {
  readonly id: number;
  readonly mvid: string;
  readonly createdMs: number;
  editedMs: number;
  writes: number;
  readonly versions: { readonly visibleMs: number; readonly booking: Booking | null }[];
};

/** A simulated work item. Dates are `YYYY-MM-DD`. */
export type PlanItem = {
  readonly mPlanId: string;
  readonly name: string;
  readonly startDate: string;
  readonly endDate: string;
  readonly homeLocationId: string;
  /** As in the real Crossmark, some items have a date although no visit is booked. */
  readonly looseDate: string | null;
};

const itemsPerDay = 20;
const catalogueBase = 30_000_000;
const types = ['Core', 'Core', 'Core', 'Juicer', 'Supervisor', 'Digitals', 'Freeosk'];

/** Ids of the catalogue's items that start on this day. About as many as in the real list. */
export function catalogueOfDay(day: number): string[] {
  return Array.from({ length: itemsPerDay }, (_, index) => String(catalogueBase + day * 100 + index));
}

/** The item with this id. Items outside the catalogue run for years, so every interval lists them. */
export function planItem(mPlanId: string): PlanItem {
  const hash = stableHash(mPlanId);
  const offset = Number(mPlanId) - catalogueBase;
  const day = Math.floor(offset / 100);
  const inCatalogue = day > 18_000 && day < 30_000 && offset % 100 < itemsPerDay;
  const eventNumber = 100_000 + (hash % 800_000);
  return {
    mPlanId,
    name: `${eventNumber}-SIM-${types[hash % types.length]}-Simulated Demo ${hash % 97}`,
    startDate: inCatalogue ? dateOfDay(day) : '2020-01-01',
    endDate: inCatalogue ? dateOfDay(day + (hash % 4)) : '2039-12-31',
    homeLocationId: String(157_000 + (hash % 3)),
    looseDate: inCatalogue && hash % 7 === 0 ? dateOfDay(day) : null,
  };
}

/** The mutable state of a simulated Crossmark. */
export class Plan {
  visitsMade = 0;
  visitsDeleted = 0;
  readonly #now: () => number;
  readonly #visits = new Map<number, Visit>();
  readonly #byPair = new Map<string, Visit[]>();
  readonly #locations = new Map<string, Set<string>>();
  readonly #pendingWork = new Map<string, { locationId: string; count: number }>();
  #nextId = 40_000_001;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Creates an item at a location, so that reads list it there even if no write arrived. */
  mention(mPlanId: string, locationId: string): void {
    if (!/^\d{8}$/.test(mPlanId) || !/^\d{6}$/.test(locationId)) return;
    const known = this.#locations.get(mPlanId);
    if (known) known.add(locationId);
    else this.#locations.set(mPlanId, new Set([locationId]));
  }

  /** Adds a visit, or with `inPlace` overwrites the current visit at this item and location. */
  schedule(booking: Booking, options: { inPlace: boolean; lagMs: number }): Visit {
    this.mention(booking.mPlanId, booking.locationId);
    const key = pairKey(booking.mPlanId, booking.locationId);
    const standing = (this.#byPair.get(key) ?? []).findLast((visit) => latest(visit) !== null);
    const visit = (options.inPlace && standing) || this.#insert(key);
    visit.writes += 1;
    visit.editedMs = this.#now();
    this.#write(visit, booking, options.lagMs);
    return visit;
  }

  /** Removes a visit. False if there is none. */
  remove(id: number, lagMs: number): boolean {
    const visit = this.#visits.get(id);
    if (!visit || latest(visit) === null) return false;
    visit.writes += 1;
    this.visitsDeleted += 1;
    this.#write(visit, null, lagMs);
    return true;
  }

  addPendingWork(mPlanId: string, locationId: string): void {
    this.mention(mPlanId, locationId);
    const count = this.#pendingWork.get(mPlanId)?.count ?? 0;
    this.#pendingWork.set(mPlanId, { locationId, count: count + 1 });
  }

  isReissued(mPlanId: string, locationId: string): boolean {
    return this.#pendingWork.get(mPlanId)?.locationId === locationId;
  }

  /** The item's locations: all that clients mentioned, otherwise its default one. */
  locationsOf(mPlanId: string): string[] {
    const known = this.#locations.get(mPlanId);
    return known ? [...known] : [planItem(mPlanId).homeLocationId];
  }

  /** Ids of all items that clients mentioned. */
  mentionedItems(): Iterable<string> {
    return this.#locations.keys();
  }

  /** The visits that a read sees now at an item and location, oldest first. */
  visible(mPlanId: string, locationId: string): { id: number; booking: Booking }[] {
    const now = this.#now();
    const seen: { id: number; booking: Booking }[] = [];
    for (const visit of this.#byPair.get(pairKey(mPlanId, locationId)) ?? []) {
      const booking = visit.versions.findLast((version) => version.visibleMs <= now)?.booking;
      if (booking) seen.push({ id: visit.id, booking });
    }
    return seen;
  }

  /** The current visits, regardless of the lag. */
  standing(): SimulatedVisit[] {
    return [...this.#visits.values()].flatMap((visit) => {
      const booking = latest(visit);
      if (!booking) return [];
      const { mPlanId, locationId, repId } = booking;
      const start = new Date(booking.startMs).toISOString();
      const end = new Date(booking.endMs).toISOString();
      return [
        { scheduleEventId: String(visit.id), mPlanId, locationId, repId, start, end, writes: visit.writes },
      ];
    });
  }

  pendingWorkByItem(): Record<string, number> {
    return Object.fromEntries([...this.#pendingWork].map(([mPlanId, { count }]) => [mPlanId, count]));
  }

  /** Clears everything. Visit ids are not reused. */
  reset(): void {
    this.#visits.clear();
    this.#byPair.clear();
    this.#locations.clear();
    this.#pendingWork.clear();
    this.visitsMade = 0;
    this.visitsDeleted = 0;
  }

  #insert(key: string): Visit {
    const now = this.#now();
    const visit: Visit = {
      id: this.#nextId,
      mvid: randomUUID(),
      createdMs: now,
      editedMs: now,
      writes: 0,
      versions: [],
    };
    this.#nextId += 1;
    this.visitsMade += 1;
    this.#visits.set(visit.id, visit);
    const there = this.#byPair.get(key);
    if (there) there.push(visit);
    else this.#byPair.set(key, [visit]);
    return visit;
  }

  #write(visit: Visit, booking: Booking | null, lagMs: number): void {
    const now = this.#now();
    const firstNeeded = visit.versions.findLastIndex((version) => version.visibleMs <= now);
    if (firstNeeded > 0) visit.versions.splice(0, firstNeeded);
    visit.versions.push({ visibleMs: now + lagMs, booking });
  }
}

function latest(visit: Visit): Booking | null {
  return visit.versions.at(-1)?.booking ?? null;
}

function pairKey(mPlanId: string, locationId: string): string {
  return `${mPlanId}_${locationId}`;
}
