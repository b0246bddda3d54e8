/**
 * The simulator in the test's own process, on a free port. Tests control its clock and faults, and it records every
 * cookie and token that it issues.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { listen } from '@recloser/runtime/process/http-server';
import { createSimulator } from '@recloser/simulator/app';
import type { Fault } from '@recloser/simulator/faults';
import type { Upstream } from '@recloser/simulator/upstream';

export type TestSimulator = {
  /** Without a trailing slash. */
  readonly url: string;
  /** Cookie values and tokens that were sent so far. */
  readonly secrets: ReadonlySet<string>;
  upstream(name: string): Upstream;
  /** Replaces an upstream's fault plan. Throws on a fault that the control API would refuse. */
  faults(name: string, faults: readonly Fault[], seed?: number): void;
  /** Moves the simulator's clock forward. */
  advance(ms: number): void;
  /** Closes the port: connections are then refused. Idempotent. */
  stop(): Promise<void>;
};

/** Starts a simulator. The caller stops it. */
export async function startSimulator(): Promise<TestSimulator> {
  let offsetMs = 0;
  const simulator = createSimulator({ now: () => Date.now() + offsetMs });
  const secrets = new Set<string>();
  const server = await listen(
    (request, response) => {
      watch(request, response, secrets);
      simulator.app(request, response);
    },
    { host: '127.0.0.1', port: 0 },
  );
  const upstream = (name: string): Upstream => {
    const found = simulator.upstreams.get(name);
    if (!found) throw new Error(`upstream ${name} has no simulation`);
    return found;
  };
  return {
    url: server.url,
    secrets,
    upstream,
    faults: (name, faults, seed) =>
      upstream(name).faults.replace(
        faults.map((fault) => upstream(name).faultSchema.parse(fault)),
        seed,
      ),
    advance: (ms) => {
      offsetMs += ms;
    },
    async stop() {
      simulator.stop();
      await server.close(0);
    },
  };
}

/** Shorter values are not secrets: `ok`, a digit. */
const leastSecret = 12;

function watch(request: IncomingMessage, response: ServerResponse, secrets: Set<string>): void {
  const keep = (value: string) => {
    if (value.length >= leastSecret) secrets.add(value);
  };
  keep((request.headers.authorization ?? '').replace(/^Bearer /, ''));
  const setHeader = response.setHeader.bind(response);
  response.setHeader = (name, value) => {
    if (name.toLowerCase() === 'set-cookie') {
      for (const line of [value].flat()) for (const secret of cookieSecrets(String(line))) keep(secret);
    }
    return setHeader(name, value);
  };
}

/** Returns the value as sent, its decoded form, and the token inside it, if any. */
function cookieSecrets(line: string): string[] {
  const value = line.slice(line.indexOf('=') + 1).split(';')[0] ?? '';
  const decoded = decodeURIComponent(value);
  const token = /"token":"([^"]+)"/.exec(decoded)?.[1];
  return token ? [value, decoded, token] : [value, decoded];
}
