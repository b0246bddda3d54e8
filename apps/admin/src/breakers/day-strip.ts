/**
 * The timeline of one upstream: 24 hours of breaker states and marks. The stretches have no gaps and end now.
 */
import type { Transition } from '@recloser/breaker/upstream-state';

/** Length of the timeline, in ms. */
export const stripMs = 24 * 60 * 60 * 1000;

type State = 'closed' | 'open' | 'half_open';

/** A stretch of one state. `incident` is the id of the outage it belongs to. Times in ms. */
type Stretch = {
  readonly from: number;
  readonly to: number;
  readonly state: State | 'unknown';
  readonly incident: string | null;
};

/** An event: a hold, a worker set aside or started, an operator's action, a repair. */
type Mark = { readonly at: number; readonly kind: string; readonly text: string };

/** The timeline. Times in ms. */
export type DayStrip = {
  readonly from: number;
  readonly to: number;
  readonly stretches: readonly Stretch[];
  readonly marks: readonly Mark[];
};

const mostMarks = 60;

/** `transitions`: newest first. `now`: the current state, for a stream without entries. */
export function dayStripOf(
  transitions: readonly Transition[],
  now: { readonly ms: number; readonly state: State; readonly since: number },
  workerStarts: readonly number[],
): DayStrip {
  const from = now.ms - stripMs;
  const moves = transitions.filter(({ kind }) => kind === 'breaker').reverse();
  const marks = [
    ...transitions.filter(({ kind, at }) => kind !== 'breaker' && at >= from).map(markOf),
    ...workerStarts.filter((at) => at >= from).map((at) => ({ at, kind: 'start', text: 'worker started' })),
  ];
  return { from, to: now.ms, stretches: stretchesOf(moves, from, now), marks: marks.slice(0, mostMarks) };
}

function stretchesOf(
  moves: readonly Transition[],
  from: number,
  now: { readonly ms: number; readonly state: State; readonly since: number },
): Stretch[] {
  const first = moves[0];
  const stretches: Stretch[] = [];
  // Before the first entry: the state that it left. Without entries: the current state since `now.since`.
  let at = from;
  let state: Stretch['state'] = (first?.from ?? (now.since > from ? 'unknown' : now.state)) as State;
  let incident: string | null = null;
  const add = (to: number) => {
    if (to > at) stretches.push({ from: at, to, state, incident });
    at = Math.max(at, to);
  };
  for (const move of moves) {
    add(Math.min(Math.max(move.at, from), now.ms));
    state = move.to as State;
    if (state === 'closed') incident = null;
    else incident ??= move.id;
  }
  if (first === undefined && now.since > from) {
    add(Math.min(now.since, now.ms));
    state = now.state;
  }
  add(now.ms);
  return stretches;
}

function markOf({ at, kind, to, hold, worker, reason }: Transition): Mark {
  const subject = hold === null ? kind : `${hold} hold`;
  const who = worker === null || worker === '' ? '' : ` (${worker})`;
  return { at, kind, text: `${subject} ${to}${reason === '' ? '' : `: ${reason}`}${who}` };
}
