/**
 * `npm run doctor`: checks configuration, versions, disk, upstreams, Redis and the state in it, and says what to do.
 *
 *   npm run doctor                            checks everything
 *   npm run doctor -- --json                  prints JSON
 *   npm run doctor -- --apps web,admin        for a machine that runs only these apps
 *
 * Changes nothing, does not sign in and prints no secret. Exits with status 1 if anything needs fixing, with status 2 if
 * it could not run.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type AppName, appNames } from './check-configuration.ts';
import { examine } from './examine.ts';
import { asJson, asText, worst } from './finding.ts';

const usage = `Usage: npm run doctor -- [--json] [--apps ${appNames.join(',')}]`;

function readArguments(args: string[], production: boolean): { json: boolean; apps: readonly AppName[] } {
  const options = { json: { type: 'boolean', default: false }, apps: { type: 'string' } } as const;
  const { values } = parseArgs({ args, options });
  // Production does not run the simulator.
  const usual = appNames.filter((app) => !(production && app === 'simulator'));
  if (values.apps === undefined) return { json: values.json, apps: usual };
  const wanted = values.apps.split(/[\s,]+/).filter(Boolean);
  const apps = appNames.filter((app) => wanted.includes(app));
  if (apps.length === 0 || apps.length < new Set(wanted).size)
    throw new Error(`--apps takes one or more of ${appNames.join(', ')}, separated by commas.`);
  return { json: values.json, apps };
}

try {
  const { json, apps } = readArguments(process.argv.slice(2), process.env.NODE_ENV === 'production');
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const findings = await examine({ env: process.env, apps, root, nodeVersion: process.version });
  process.stdout.write(`${json ? asJson(findings) : asText(findings)}\n`);
  process.exitCode = worst(findings) === 'fail' ? 1 : 0;
} catch (error) {
  const { message = String(error), code = '', stack = message } = error as Error & { code?: string };
  const mistyped = code.startsWith('ERR_PARSE_ARGS') || message.startsWith('--apps');
  process.stderr.write(mistyped ? `${message}\n${usage}\n` : `${stack}\n`);
  process.exitCode = 2;
}
