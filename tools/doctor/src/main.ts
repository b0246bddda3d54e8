/**
 * `npm run doctor`: looks at configuration, versions, disk, upstreams, Redis and the state in it, and says what to do.
 *
 *   npm run doctor                            everything
 *   npm run doctor -- --json                  the same for programs
 *   npm run doctor -- --apps web,admin        on a machine that runs only these
 *
 * Always true: changes nothing, signs in nowhere, prints no secret; leaves with 1 when something must be mended.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type AppName, appNames } from './check-configuration.ts';
import { examine } from './examine.ts';
import { asJson, asText, worst } from './finding.ts';

const usage = `usage: npm run doctor -- [--json] [--apps ${appNames.join(',')}]`;

function readArguments(args: string[], production: boolean): { json: boolean; apps: readonly AppName[] } {
  const options = { json: { type: 'boolean', default: false }, apps: { type: 'string' } } as const;
  const { values } = parseArgs({ args, options });
  // The simulator has no place in production.
  const usual = appNames.filter((app) => !(production && app === 'simulator'));
  if (values.apps === undefined) return { json: values.json, apps: usual };
  const wanted = values.apps.split(/[\s,]+/).filter(Boolean);
  const apps = appNames.filter((app) => wanted.includes(app));
  if (apps.length === 0 || apps.length < new Set(wanted).size)
    throw new Error(`--apps takes ${appNames.join(', ')}`);
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
