/** What a drill proved: counted from the calls as web tells them and from the simulator's own ledger. */
import pc from 'picocolors';
import type { SimulatorLedger } from '../stack-api.ts';
import type { Stage } from './stage.ts';

export type Ledger = {
  readonly accepted: number;
  readonly byStatus: Readonly<Record<string, number>>;
  readonly deferrals: number;
  readonly attemptsSpent: number;
  readonly requestsWhileDown: number;
  readonly visits: number;
  readonly mostAtOnce: number;
  readonly drainSeconds: number | null;
  readonly lost: number;
};

const ended = ['succeeded', 'failed', 'expired', 'cancelled', 'in_doubt'];

/** Asks for every call and for what the upstream saw. */
export async function readLedger(stage: Stage, drainedAt: number): Promise<Ledger> {
  const calls = await stage.api.calls(stage.ids);
  const seen = await stage.api.ledger();
  const byStatus: Record<string, number> = {};
  for (const { status } of calls) byStatus[status] = (byStatus[status] ?? 0) + 1;
  return {
    accepted: calls.length,
    byStatus,
    deferrals: sum(calls.map((call) => call.attempts.deferrals)),
    attemptsSpent: sum(calls.map((call) => call.attempts.made)),
    requestsWhileDown: whileDown(stage, seen),
    visits: seen.visitsMade,
    mostAtOnce: seen.maxInFlight,
    drainSeconds: stage.downTo ? Math.round((drainedAt - stage.downTo) / 100) / 10 : null,
    lost: calls.filter((call) => !ended.includes(call.status)).length,
  };
}

/** Prints it as a table. */
export function printLedger(title: string, ledger: Ledger): void {
  const rows: [string, string | number][] = [
    ['accepted', ledger.accepted],
    ['succeeded', ledger.byStatus.succeeded ?? 0],
    ['failed', ledger.byStatus.failed ?? 0],
    ['in doubt', ledger.byStatus.in_doubt ?? 0],
    ['not ended (lost)', ledger.lost],
    ['times a call was handed back unspent', ledger.deferrals],
    ['attempts spent', ledger.attemptsSpent],
    ['requests that reached the upstream while it was down', ledger.requestsWhileDown],
    ['visits booked', ledger.visits],
    ['most requests at once', ledger.mostAtOnce],
    ['seconds from recovery to drained', ledger.drainSeconds ?? '-'],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n${pc.bold(`Ledger: ${title}`)}`);
  for (const [name, value] of rows) console.log(`  ${name.padEnd(width)}  ${value}`);
}

function whileDown({ downFrom, downTo }: Stage, { requests }: SimulatorLedger): number {
  if (downFrom === undefined || downTo === undefined) return 0;
  return requests.filter(({ at }) => at >= downFrom && at <= downTo).length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
