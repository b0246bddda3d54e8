/**
 * `npm start`: the whole system on this machine, until Ctrl-C.
 *
 * Always true: Ctrl-C (or SIGTERM) stops everything in order and leaves with 0; a part that ends unasked (workers are
 * started again) stops the rest and leaves with 1.
 */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import picocolors from 'picocolors';
import { isPortFree } from './process/free-port.ts';
import { isInfo, prettyLine } from './process/pretty-line.ts';
import { endLeftovers, forgetProcesses, noteProcesses } from './stack/leftovers.ts';
import { type Stack, startStack } from './stack/stack.ts';

const paint = picocolors.createColors(process.stdout.isTTY === true);
const say = (line: string): void => console.log(line);

type Ports = { readonly web: number; readonly admin: number; readonly simulator: number };

const portVariables = { web: 'WEB_PORT', admin: 'ADMIN_PORT', simulator: 'SIMULATOR_PORT' } as const;
const defaultPorts: Ports = { web: 3000, admin: 3001, simulator: 3002 };

/** A mistake the user can mend: shown without a stack trace. */
class StartError extends Error {}

async function main(): Promise<number> {
  const env = process.env;
  const dataDir = resolve(env.DATA_DIR?.trim() || '.data');
  const notePath = `${dataDir}/stack.json`;
  const interrupted = untilInterrupted();
  await endLeftovers(notePath, say);
  const ports = await readPorts(env);
  const account = adminAccount(env);
  say(paint.dim('Starting Redis, simulator, web, admin and two workers …'));
  let running = false; // while starting and stopping only what may need attention is shown
  const stack = await startStack({
    env: { NODE_ENV: env.NODE_ENV || 'development', ...account.env },
    workers: 2,
    dataDir,
    installationDir: dataDir,
    ports,
    restartWorkers: true,
    onProcesses: (pids) => noteProcesses(notePath, pids),
    onLine: (name, line) => {
      if (running || !isInfo(line)) say(prettyLine(name, line, paint));
    },
    say,
  });
  running = true;
  say(welcome(stack, account.hint));
  const end = await Promise.race([interrupted, stack.failed.then((reason) => ({ reason }))]);
  running = false;
  say(
    end === 'interrupted'
      ? '\nStopping (a second Ctrl-C does not wait) …'
      : paint.red(`\n${end.reason}\nStopping …`),
  );
  await stack.stop();
  forgetProcesses(notePath);
  if (end === 'interrupted') say('Stopped. Accepted calls are kept and go on with the next start.');
  return end === 'interrupted' ? 0 : 1;
}

/** A signal this soon after the first is the same Ctrl-C, passed on by npm to a process the terminal already told. */
const sameSignalMs = 500;

/** Resolves at the first signal; a later one ends this process at once. */
function untilInterrupted(): Promise<'interrupted'> {
  return new Promise((done) => {
    let since: number | undefined;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (since !== undefined && performance.now() - since > sameSignalMs) process.exit(1);
        since ??= performance.now();
        done('interrupted');
      });
    }
  });
}

async function readPorts(env: NodeJS.ProcessEnv): Promise<Ports> {
  const ports = { ...defaultPorts };
  const problems: string[] = [];
  for (const [app, variable] of Object.entries(portVariables) as [keyof Ports, string][]) {
    const text = env[variable]?.trim();
    if (text) ports[app] = Number(text);
    if (!Number.isInteger(ports[app]) || ports[app] < 0 || ports[app] > 65_535) {
      problems.push(`${variable} must be a port number`);
    } else if (!(await isPortFree(ports[app]))) {
      problems.push(
        `port ${ports[app]} is taken by another program: set ${variable} to another port, or stop that program`,
      );
    }
  }
  if (problems.length > 0)
    throw new StartError(`Recloser cannot start:\n${problems.map((one) => `  ${one}`).join('\n')}`);
  return ports;
}

function adminAccount(env: NodeJS.ProcessEnv): { env: Record<string, string>; hint: string } {
  if (env.ADMIN_USERS?.trim()) return { env: {}, hint: 'the accounts of ADMIN_USERS' };
  if (env.ADMIN_PASSWORD?.trim()) return { env: {}, hint: 'user admin, the password of ADMIN_PASSWORD' };
  const password = randomBytes(12).toString('base64url');
  return {
    env: { ADMIN_PASSWORD: password },
    hint: `user ${paint.bold('admin')}, password ${paint.bold(password)}`,
  };
}

function welcome({ urls }: Stack, account: string): string {
  const json = "-H 'content-type: application/json'";
  const call =
    '{"input":{"repId":"152879","mPlanId":"31204567","locationId":"157384","start":"2026-12-01T09:00:00-05:00","end":"2026-12-01T15:30:00-05:00"}}';
  const faults = `${urls.simulator}/control/crossmark/faults`;
  return `
  ${paint.bold('Recloser runs.')}
  takes calls     ${paint.cyan(urls.web)}
  admin pages     ${paint.cyan(urls.admin)}   ${account}
  simulator       ${paint.cyan(urls.simulator)}   stands in for Crossmark and Walmart EDR

  Hand over a call; the Location header says where to watch it:
    curl -i ${urls.web}/v1/calls/crossmark/schedule-event ${json} -d '${call}'
  Take Crossmark down, then hand over more and look at ${urls.admin}/breakers:
    curl -X PUT ${faults} ${json} -d '{"faults":[{"kind":"status","status":503}]}'
  Bring it back:
    curl -X DELETE ${faults}

  Ctrl-C stops everything; accepted calls are kept.
`;
}

main().then(
  (code) => process.exit(code),
  (error: Error & { code?: string }) => {
    console.error(paint.red(error instanceof StartError || error.code ? error.message : String(error.stack)));
    process.exit(1);
  },
);
