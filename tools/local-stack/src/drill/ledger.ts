/** Compares what a drill posted with the calls that the API shows and with the simulator's ledger. */
import pc from 'picocolors';
import type { CallView, SimulatorLedger } from '../stack/stack-api.ts';
import { compare, type Ending, ended } from './compare.ts';
import type { Stage } from './stage.ts';

export type Ledger = {
  readonly accepted: number;
  readonly refused: number;
  readonly byStatus: Readonly<Record<string, number>>;
  readonly deferrals: number;
  readonly attemptsSpent: number;
  readonly requestsWhileDown: number;
  readonly visits: number;
  readonly mostAtOnce: number;
  readonly drainSeconds: number | null;
  /** Accepted calls that have not ended, or cannot be read. */
  readonly lost: number;
  /** Contradictions, one sentence each. */
  readonly wrong: readonly string[];
};

const atOnce = 20;

export async function readLedger(stage: Stage, drainedAt: number): Promise<Ledger> {
  const looks = await look(stage);
  const seen = await stage.api.ledger();
  const calls = looks.flatMap(({ call }) => (call ? [call] : []));
  const endings = new Map(looks.map(({ id, ending }) => [id, ending]));
  const byStatus: Record<string, number> = {};
  for (const { status } of calls) byStatus[status] = (byStatus[status] ?? 0) + 1;
  return {
    accepted: stage.accepted.length,
    refused: stage.refused,
    byStatus,
    deferrals: sum(calls.map((call) => call.attempts.deferrals)),
    attemptsSpent: sum(calls.map((call) => call.attempts.made)),
    requestsWhileDown: whileDown(stage, seen),
    visits: seen.visitsMade,
    mostAtOnce: seen.maxInFlight,
    drainSeconds: stage.downTo ? Math.round((drainedAt - stage.downTo) / 100) / 10 : null,
    lost: stage.accepted.length - calls.filter(({ status }) => ended.includes(status)).length,
    wrong: compare(stage.accepted, endings, seen),
  };
}

type Look = { readonly id: string; readonly ending: Ending; readonly call?: CallView };

async function look({ api, accepted }: Stage): Promise<Look[]> {
  const one = async (id: string): Promise<Look> => {
    try {
      const call = await api.call(id);
      return { id, call, ending: { kind: 'shown', status: call.status, result: call.result } };
    } catch (error) {
      return { id, ending: { kind: 'unreadable', why: String(error) } };
    }
  };
  const looks: Look[] = [];
  for (let i = 0; i < accepted.length; i += atOnce) {
    looks.push(...(await Promise.all(accepted.slice(i, i + atOnce).map(({ id }) => one(id)))));
  }
  return looks;
}

export function printLedger(title: string, ledger: Ledger): void {
  const rows: [string, string | number][] = [
    ['accepted', ledger.accepted],
    ['refused', ledger.refused],
    ['succeeded', ledger.byStatus.succeeded ?? 0],
    ['failed', ledger.byStatus.failed ?? 0],
    ['in doubt', ledger.byStatus.in_doubt ?? 0],
    ['lost (not ended)', ledger.lost],
    ['deferrals (cost no attempt)', ledger.deferrals],
    ['attempts made', ledger.attemptsSpent],
    ['requests sent while the upstream was down', ledger.requestsWhileDown],
    ['visits booked', ledger.visits],
    ['most concurrent requests', ledger.mostAtOnce],
    ['seconds from recovery to an empty queue', ledger.drainSeconds ?? '-'],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(`\n${pc.bold(`Ledger: ${title}`)}`);
  for (const [name, value] of rows) console.log(`  ${name.padEnd(width)}  ${value}`);
  for (const sentence of ledger.wrong) console.log(`  ${pc.red(sentence)}`);
  if (ledger.wrong.length === 0)
    console.log(`  ${pc.green('Every accepted call ended, and each visit was booked at most once.')}`);
}

function whileDown({ downFrom, downTo }: Stage, { requests }: SimulatorLedger): number {
  if (downFrom === undefined || downTo === undefined) return 0;
  return requests.filter(({ at }) => at >= downFrom && at <= downTo).length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
