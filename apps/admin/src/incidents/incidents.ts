/**
 * Builds incidents from an upstream's transitions. An incident lasts from the time the breaker leaves `closed` until it
 * closes again. Its id is the id of the entry that opened it, so links stay valid.
 */
import type { Evidence, Transition } from '@recloser/breaker/upstream-state';

/** One step of an incident. `at` in ms. */
type IncidentStep = {
  readonly at: number;
  readonly kind: 'opened' | 'trial' | 'trial-failed' | 'closed' | 'hold' | 'worker' | 'operator' | 'repair';
  readonly text: string;
  readonly by: string | null;
};

/** One outage. Times in ms by Redis' clock. `closedAt` is null while it lasts. */
export type Incident = {
  readonly id: string;
  readonly openedAt: number;
  readonly closedAt: number | null;
  readonly cause: string;
  /** A worker's id, or a person's name when the breaker was forced open. */
  readonly openedBy: string | null;
  readonly evidence: readonly Evidence[];
  readonly trials: number;
  readonly failedTrials: number;
  /** Start of the trial that is running or that closed the breaker. */
  readonly rampFrom: number | null;
  /** Oldest first. */
  readonly steps: readonly IncidentStep[];
};

type Draft = { -readonly [K in keyof Incident]: Incident[K] } & { steps: IncidentStep[] };

/** The incidents in these transitions. Both are newest first. */
export function incidentsOf(transitions: readonly Transition[]): Incident[] {
  const found: Draft[] = [];
  let current: Draft | null = null;
  for (const entry of [...transitions].reverse()) {
    const isMove = entry.kind === 'breaker';
    if (current === null && isMove && entry.to !== 'closed') {
      current = begin(entry);
      found.push(current);
    }
    if (current === null) continue;
    current.steps.push(stepOf(entry, current));
    if (!isMove) continue;
    if (entry.to === 'half_open') {
      current.trials += 1;
      current.rampFrom = entry.at;
    } else if (entry.to === 'open' && entry.from === 'half_open') {
      current.failedTrials += 1;
      current.rampFrom = null;
    } else if (entry.to === 'closed') {
      current.closedAt = entry.at;
      current = null;
    }
  }
  return found.reverse();
}

function begin(entry: Transition): Draft {
  return {
    id: entry.id,
    openedAt: entry.at,
    closedAt: null,
    cause: entry.reason,
    openedBy: entry.worker,
    evidence: entry.evidence,
    trials: 0,
    failedTrials: 0,
    rampFrom: null,
    steps: [],
  };
}

function stepOf(entry: Transition, incident: Incident): IncidentStep {
  const { at, reason, worker: by } = entry;
  const because = reason === '' ? '' : `: ${reason}`;
  switch (entry.kind) {
    case 'breaker':
      if (entry.to === 'closed') return { at, kind: 'closed', text: `Closed${because}`, by };
      if (entry.to === 'half_open') return { at, kind: 'trial', text: `Trial started${because}`, by };
      if (entry.from === 'half_open') return { at, kind: 'trial-failed', text: `Opened again${because}`, by };
      return { at, kind: 'opened', text: `${incident.id === entry.id ? 'Opened' : 'Open'}${because}`, by };
    case 'hold':
      return { at, kind: 'hold', text: `${capital(entry.hold ?? '')} hold ${entry.to}${because}`, by };
    case 'worker':
      return {
        at,
        kind: 'worker',
        text: entry.to === 'back' ? 'Worker is back' : `Worker set aside${because}`,
        by,
      };
    case 'operator':
      return { at, kind: 'operator', text: `${capital(entry.to)}${because}`, by };
    default:
      return { at, kind: 'repair', text: `${capital(entry.to)}${because}`, by };
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
