/**
 * Compares what the drill posted with what arrived upstream and with how each call ended. An empty list proves that
 * every accepted call ended, that each successful booking exists upstream exactly once with the requested values, and
 * that nothing else was booked.
 */
import type { CallView, SimulatorLedger } from '../stack/stack-api.ts';

/** A post that the API answered with 202. */
export type AcceptedCall = {
  readonly id: string;
  readonly operation: 'schedule-event' | 'list-qualified-reps';
  readonly input: Readonly<Record<string, string>>;
};

/** How the API shows a call after the drill, or why it cannot be read. */
export type Ending =
  | { readonly kind: 'shown'; readonly status: string; readonly result: CallView['result'] }
  | { readonly kind: 'unreadable'; readonly why: string };

type Visit = Readonly<
  Record<'scheduleEventId' | 'mPlanId' | 'locationId' | 'repId' | 'start' | 'end', string>
> & {
  readonly writes: number;
};

export const ended = ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'];

/** Returns the contradictions, one sentence each. */
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
    ...notRequested(accepted, visits),
    ...compareReads(accepted, endings, seen),
  ];
}

function sharedIds(accepted: readonly AcceptedCall[]): string[] {
  return [...Map.groupBy(accepted, ({ id }) => id)]
    .filter(([, calls]) => calls.length > 1)
    .map(([id, calls]) => `${calls.length} posts returned the same call ${id}.`);
}

function notEnded({ id }: AcceptedCall, ending: Ending | undefined): string[] {
  if (ending === undefined) return [`Call ${id} was accepted but is missing.`];
  if (ending.kind === 'unreadable') return [`Call ${id} cannot be read: ${ending.why}`];
  return ended.includes(ending.status) ? [] : [`Call ${id} has not ended: it is ${ending.status}.`];
}

function compareBooking(
  { id, input }: AcceptedCall,
  ending: Ending | undefined,
  visits: readonly Visit[] = [],
): string[] {
  const { status, result } = ending?.kind === 'shown' ? ending : { status: 'unreadable', result: null };
  const booked = `Call ${id} (${status}) booked item ${input.mPlanId}`;
  if (visits.length > 1) return [`${booked} ${visits.length} times.`];
  const [visit] = visits;
  if (!visit) return status === 'succeeded' ? [`Call ${id} succeeded but booked nothing.`] : [];
  if (status !== 'succeeded' && status !== 'in_doubt') return [`${booked} although it did not succeed.`];
  if (visit.writes > 1) return [`${booked} with ${visit.writes} writes.`];
  if (!matchesInput(visit, input)) return [`${booked} with other values than requested.`];
  const named = result?.scheduleEventId;
  if (status === 'in_doubt' || named === visit.scheduleEventId) return [];
  return [`${booked} as ${visit.scheduleEventId}, but its result says ${named}.`];
}

function matchesInput(visit: Visit, input: AcceptedCall['input']): boolean {
  return (
    visit.repId === input.repId &&
    visit.locationId === input.locationId &&
    Date.parse(visit.start) === Date.parse(input.start ?? '') &&
    Date.parse(visit.end) === Date.parse(input.end ?? '')
  );
}

function notRequested(
  accepted: readonly AcceptedCall[],
  visits: ReadonlyMap<string, readonly Visit[]>,
): string[] {
  const requested = new Set(
    accepted.filter(({ operation }) => operation === 'schedule-event').map(({ input }) => input.mPlanId),
  );
  return [...visits.keys()]
    .filter((item) => !requested.has(item))
    .map((item) => `Item ${item} is booked, but no accepted call requested it.`);
}

/** The simulator does not record the inputs of reads, so reads are only counted. */
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
  return answered >= succeeded
    ? []
    : [`${succeeded} reads succeeded, but the upstream answered ${answered}.`];
}
