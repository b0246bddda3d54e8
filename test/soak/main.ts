/**
 * `npm run soak [-- --minutes 30 --seed 1 --per-second 8 --json file]`: runs a soak and prints its ledger. Exits with
 * status 1 if an invariant was violated. Ctrl-C ends the soak early; it still drains and prints.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { createLogUpdate } from 'log-update';
import { runSoak } from './run-soak.ts';

/** How often a line is printed without a terminal. */
const lineEverySeconds = 30;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    'per-second': { type: 'string', default: '8' },
    json: { type: 'string' },
  },
});

const terminal = process.stdout.isTTY ? createLogUpdate(process.stdout) : undefined;
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
let turn = 0;
const ledger = await runSoak({
  seconds: Number(values.minutes) * 60,
  seed: Number(values.seed),
  perSecond: Number(values['per-second']),
  signal: interrupted.signal,
  live(line) {
    if (terminal) terminal(line);
    else if (turn % lineEverySeconds === 0) console.log(line);
    turn += 1;
  },
});
terminal?.done();
const { violations, ...rest } = ledger;
console.log(JSON.stringify(rest, null, 2));
for (const violation of violations.slice(0, 100)) console.log(`VIOLATION ${violation}`);
console.log(violations.length === 0 ? 'Every invariant held.' : `${violations.length} violations.`);
if (values.json) await writeFile(values.json, `${JSON.stringify(ledger, null, 2)}\n`);
process.exitCode = violations.length === 0 ? 0 : 1;
