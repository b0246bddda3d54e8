/** The result of a soak. `violations` is empty exactly if every invariant held. */
import type { SimulatorLedger } from '@recloser/local-stack/stack/stack-api';
import type { CallBook, NotedCall } from './call-book.ts';
import type { Faults } from './faults.ts';
import type { LogWatch } from './log-watch.ts';
import type { MemoryReport } from './memory.ts';
import type { Person } from './person.ts';
import type { Receiver } from './receiver.ts';
import type { Traffic } from './traffic.ts';
import type { WatchedFetch } from './watched-fetch.ts';

export type SoakLedger = ReturnType<typeof makeLedger>;

type Parts = {
  readonly seconds: number;
  readonly seed: number;
  readonly drainSeconds: number;
  readonly book: CallBook;
  readonly traffic: Traffic;
  readonly faults: Faults;
  readonly person: Person;
  readonly receiver: Receiver;
  readonly watched: WatchedFetch;
  readonly logs: LogWatch;
  readonly seen: SimulatorLedger;
  /** What has not recovered. */
  readonly whole: readonly string[];
  readonly memory: Readonly<Record<string, MemoryReport>>;
};

const ends = ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'];
/** A shorter soak is still warming up in its second quarter. */
const judgedFromSeconds = 1_200;
const mayGrow = 0.1;
const mayGrowMb = 12;
const mayGrowRedisMb = 2;
/** Grow by design: the simulator keeps every request, and Redis every idempotency key for 24 hours. */
const growsByDesign = ['simulator', 'redis'];

export function makeLedger(parts: Parts) {
  const { seconds, seed, drainSeconds, book, traffic, faults, person, receiver, watched, logs, seen } = parts;
  const calls = book.all;
  const counts = book.counts();
  const pending = calls.filter(({ status }) => !ends.includes(status)).length;
  const violations = [
    ...(pending > 0 ? [`${pending} calls have not ended: ${JSON.stringify(counts)}`] : []),
    ...book.wrong,
    ...traffic.wrong,
    ...faults.wrong,
    ...watched.wrong,
    ...failures(calls),
    ...doubled(calls, seen),
    ...callbacks(calls, receiver),
    ...parts.whole,
    ...logs.unexplained.map((line) => `unexplained line: ${line}`),
    ...grown(parts),
  ];
  return {
    seconds,
    seed,
    accepted: calls.length,
    ended: Object.fromEntries(ends.map((status) => [status, counts[status] ?? 0])),
    pending,
    byOperation: countBy(calls, ({ operation }) => operation),
    errorCodes: countBy(
      calls.filter(({ errorCode }) => errorCode),
      ({ errorCode }) => String(errorCode),
    ),
    ...book.totals,
    traffic: traffic.counts,
    faults: faults.counts,
    person: person.counts,
    callbacks: receiver.counts,
    upstream: { requests: seen.requests.length, visitsMade: seen.visitsMade, logins: seen.logins },
    answers: watched.statuses,
    slowestAnswerMs: Math.round(watched.slowestMs),
    drainSeconds,
    warnings: logs.warnings,
    explainedErrors: logs.explained,
    memory: parts.memory,
    violations,
  };
}

/** Every input is valid and attempts are plentiful, so no call may fail. */
function failures(calls: readonly NotedCall[]): string[] {
  return calls
    .filter(({ status }) => status === 'failed')
    .map(({ id, operation, errorCode }) => `${id} (${operation}) failed: ${errorCode}`);
}

function doubled(
  calls: readonly NotedCall[],
  { visitsByItem, pendingWorkByItem }: SimulatorLedger,
): string[] {
  const itemsOf = (operation: string) =>
    new Set(
      calls
        .filter((call) => call.operation === `crossmark/${operation}` && call.status === 'succeeded')
        .map(({ input }) => String(input.mPlanId)),
    );
  const unscheduled = itemsOf('unschedule-event');
  const wrong: string[] = [];
  for (const item of itemsOf('schedule-event')) {
    // Also finds double bookings, because only one of the two would be unscheduled.
    const expected = unscheduled.has(item) ? 0 : 1;
    const asked = calls.some(
      (call) => call.operation === 'crossmark/unschedule-event' && call.input.mPlanId === item,
    );
    if (!asked || expected === 0) check(`item ${item}: visits`, visitsByItem[item] ?? 0, expected);
  }
  for (const item of itemsOf('reissue-event'))
    check(`item ${item}: reissued`, pendingWorkByItem[item] ?? 0, 1);
  for (const [what, byItem] of Object.entries({ booked: visitsByItem, reissued: pendingWorkByItem }))
    for (const [item, times] of Object.entries(byItem))
      if (times > 1) wrong.push(`item ${item} was ${what} ${times} times`);
  return wrong;

  function check(what: string, found: number, expected: number): void {
    if (found !== expected) wrong.push(`${what} ${found}, expected ${expected}`);
  }
}

function callbacks(calls: readonly NotedCall[], { told, counts }: Receiver): string[] {
  const wrong = calls
    .filter(({ id, callback, status }) => callback && !told.get(id)?.includes(status))
    .map(
      ({ id, status }) =>
        `${id} ended ${status} and its callback told ${told.get(id)?.join(', ') ?? 'nothing'}`,
    );
  return counts.unsigned > 0 ? [...wrong, `${counts.unsigned} callbacks without a valid signature`] : wrong;
}

function grown({ seconds, memory }: Parts): string[] {
  if (seconds < judgedFromSeconds) return [];
  return Object.entries(memory)
    .filter(([name]) => !growsByDesign.includes(name))
    .filter(
      ([name, { secondQuarterMb, lastQuarterMb, growth }]) =>
        growth > mayGrow &&
        lastQuarterMb - secondQuarterMb > (name.startsWith('redis') ? mayGrowRedisMb : mayGrowMb),
    )
    .map(
      ([name, { growth, mbPerHour }]) => `${name} grew by ${Math.round(growth * 100)} % (${mbPerHour} MB/h)`,
    );
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}
