/**
 * `npm start`: runs the whole system on this machine until Ctrl-C.
 *
 * SIGINT and SIGTERM stop everything in order; the exit status is 0. A worker that exits unexpectedly is restarted. Any
 * other process that exits unexpectedly stops the rest; the exit status is 1.
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

/** A mistake the user can fix. It is printed without a stack trace. */
class StartError extends Error {}

async function main(): Promise<number> {
  const env = process.env;
  const dataDir = resolve(env.DATA_DIR?.trim() || '.data');
  const notePath = `${dataDir}/stack.json`;
  const interrupted = untilInterrupted();
  await endLeftovers(notePath, say);
  const ports = await readPorts(env);
  const account = adminAccount(env);
  say(paint.dim('Starting Redis, the simulator, the API, two workers and the dashboard …'));
  let running = false; // During start and stop, info lines are noise.
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
      ? '\nStopping … (press Ctrl-C again to exit at once)'
      : paint.red(`\n${end.reason}\nStopping everything else …`),
  );
  await stack.stop();
  forgetProcesses(notePath);
  if (end === 'interrupted') say('Stopped. Accepted calls are stored and continue at the next start.');
  return end === 'interrupted' ? 0 : 1;
}

/** npm forwards Ctrl-C to a process that the terminal has already signalled: a second signal this soon is the same one. */
const sameSignalMs = 500;

/** Resolves at the first signal. A later signal exits at once. */
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
      problems.push(`${variable} must be a port number from 0 to 65535.`);
    } else if (!(await isPortFree(ports[app]))) {
      problems.push(
        `Port ${ports[app]} is in use. Stop the program that uses it, or set ${variable} to another port.`,
      );
    }
  }
  if (problems.length > 0)
    throw new StartError(`Recloser cannot start:\n${problems.map((one) => `  ${one}`).join('\n')}`);
  return ports;
}

function adminAccount(env: NodeJS.ProcessEnv): { env: Record<string, string>; hint: string } {
  if (env.ADMIN_USERS?.trim()) return { env: {}, hint: 'sign in with an account from ADMIN_USERS' };
  if (env.ADMIN_PASSWORD?.trim()) return { env: {}, hint: 'user admin, password from ADMIN_PASSWORD' };
  const password = randomBytes(12).toString('base64url');
  return {
    env: { ADMIN_PASSWORD: password },
    hint: `user ${paint.bold('admin')}, password ${paint.bold(password)}`,
  };
}

function welcome({ urls }: Stack, account: string): string {
  const json = "-H 'content-type: application/json'";
  const day = new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10);
  const visit = `{"input": {"repId": "152879", "mPlanId": "31204567", "locationId": "157384",
           "start": "${day}T09:00:00-05:00", "end": "${day}T15:30:00-05:00"}}`;
  const reps = `{"input": {"mPlanId": "31204567", "locationId": "157384"}}`;
  const calls = `${urls.web}/v1/calls/crossmark`;
  const faults = `${urls.simulator}/control/crossmark/faults`;
  return `
  ${paint.bold('Recloser is running.')}

  API         ${paint.cyan(urls.web)}   reference at ${urls.web}/docs
  Dashboard   ${paint.cyan(urls.admin)}   ${account}
  Simulator   ${paint.cyan(urls.simulator)}   stands in for Crossmark and Walmart EDR

  ${paint.bold('1. Book a visit.')} The response is 202. Its Location header is the address of the call.
     curl -i ${calls}/schedule-event ${json} \\
       -d '${visit}'

  ${paint.bold('2. Take Crossmark down.')} It answers 503 to every request.
     curl -X PUT ${faults} ${json} \\
       -d '{"faults": [{"kind": "status", "status": 503}]}'

  ${paint.bold('3. Post more calls.')} The API still answers 202. After five failures the breaker opens, and the calls wait.
     Watch it at ${paint.cyan(`${urls.admin}/breakers`)}
     for n in 1 2 3 4 5 6 7 8; do
       curl -i ${calls}/list-qualified-reps ${json} \\
         -d '${reps}'
     done

  ${paint.bold('4. Bring Crossmark back.')} Within a minute or two the breaker closes and every call is made.
     curl -X DELETE ${faults}

  Press Ctrl-C to stop. Accepted calls are stored and continue at the next start.
`;
}

main().then(
  (code) => process.exit(code),
  (error: Error & { code?: string }) => {
    console.error(paint.red(error instanceof StartError || error.code ? error.message : String(error.stack)));
    process.exit(1);
  },
);
