/**
 * Holds what the drill posted against what arrived upstream and how each call ended.
 * Always true: an empty list means that every accepted call ended, that each booking stands upstream exactly once and
 * as it was asked for, and that nothing else stands there.
 */
import type { CallView, SimulatorLedger } from '../stack/stack-api.ts';

/** A post that web answered with 202. */
export type AcceptedCall = {
  readonly id: string;
  readonly operation: 'schedule-event' | 'list-qualified-reps';
  readonly input: Readonly<Record<string, string>>;
};

/** How web showed a call in the end, or why it could not. */
export type Ending =
  | { readonly kind: 'shown'; readonly status: string; readonly result: CallView['result'] }
  | { readonly kind: 'unreadable'; readonly why: string };

type Visit = Readonly<
  Record<'scheduleEventId' | 'mPlanId' | 'locationId' | 'repId' | 'start' | 'end', string>
> & {
  readonly writes: number;
};

export const ended = ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'];

/** What is wrong, one sentence each. */
export function compare(
  accepted: readonly AcceptedCall[],
  endings: ReadonlyMap<string, Ending>,
  seen: Pick<SimulatorLedger, 'visits' | 'requests'>,
): string[] {
  const visits = Map.groupBy(seen.visits as unknown as readonly Visit[], ({ mPlanId }) => mPlanId);
  return [
    ...sharedIds(accepted),
    ...accepted.flatMap((call) => notEnded(call, endings.get(call.id))),
    ...accepted
      .filter(({ operation }) => operation === 'schedule-event')
      .flatMap((call) => compareBooking(call, endings.get(call.id), visits.get(call.input.mPlanId ?? ''))),
    ...notAskedFor(accepted, visits),
    ...compareReads(accepted, endings, seen),
  ];
}

function sharedIds(accepted: readonly AcceptedCall[]): string[] {
  return [...Map.groupBy(accepted, ({ id }) => id)]
    .filter(([, calls]) => calls.length > 1)
    .map(([id, calls]) => `${calls.length} posts were answered with the same call ${id}.`);
}

function notEnded({ id }: AcceptedCall, ending: Ending | undefined): string[] {
  if (ending === undefined) return [`The call ${id} was accepted and is not shown.`];
  if (ending.kind === 'unreadable') return [`The call ${id} cannot be read: ${ending.why}`];
  return ended.includes(ending.status) ? [] : [`The call ${id} has not ended: it is ${ending.status}.`];
}

function compareBooking(
  { id, input }: AcceptedCall,
  ending: Ending | undefined,
  visits: readonly Visit[] = [],
): string[] {
  const { status, result } = ending?.kind === 'shown' ? ending : { status: 'unreadable', result: null };
  const booked = `The call ${id} (${status}) booked item ${input.mPlanId}`;
  if (visits.length > 1) return [`${booked} ${visits.length} times.`];
  const [visit] = visits;
  if (!visit) return status === 'succeeded' ? [`The call ${id} succeeded and nothing was booked.`] : [];
  if (status !== 'succeeded' && status !== 'in_doubt') return [`${booked} all the same.`];
  if (visit.writes > 1) return [`${booked} with ${visit.writes} writes.`];
  if (!isAsAsked(visit, input)) return [`${booked} otherwise than it was asked to.`];
  const named = result?.scheduleEventId;
  if (status === 'in_doubt' || named === visit.scheduleEventId) return [];
  return [`${booked} as ${visit.scheduleEventId} and its result names ${named}.`];
}

function isAsAsked(visit: Visit, input: AcceptedCall['input']): boolean {
  return (
    visit.repId === input.repId &&
    visit.locationId === input.locationId &&
    Date.parse(visit.start) === Date.parse(input.start ?? '') &&
    Date.parse(visit.end) === Date.parse(input.end ?? '')
  );
}

function notAskedFor(
  accepted: readonly AcceptedCall[],
  visits: ReadonlyMap<string, readonly Visit[]>,
): string[] {
  const asked = new Set(
    accepted.filter(({ operation }) => operation === 'schedule-event').map(({ input }) => input.mPlanId),
  );
  return [...visits.keys()]
    .filter((item) => !asked.has(item))
    .map((item) => `Item ${item} is booked and no accepted call asked for it.`);
}

/** The simulator notes no inputs of reads, so they are counted. */
function compareReads(
  accepted: readonly AcceptedCall[],
  endings: ReadonlyMap<string, Ending>,
  { requests }: Pick<SimulatorLedger, 'requests'>,
): string[] {
  const name = 'list-qualified-reps';
  const succeeded = accepted.filter(({ id, operation }) => {
    const ending = endings.get(id);
    return operation === name && ending?.kind === 'shown' && ending.status === 'succeeded';
  }).length;
  const answered = requests.filter(
    ({ operation, outcome }) => operation === name && outcome === 'answered 200',
  ).length;
  return answered >= succeeded ? [] : [`${succeeded} reads succeeded and upstream answered ${answered}.`];
}
