/** Finds TCP ports, and tells whether one is taken. Loopback only. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below what Linux, macOS and Windows hand out for port 0 and for outgoing connections (from 32768, 49152 and 49152 on
 * by default): between our look and the app's start nobody gets such a port by chance, as a socket of a test beside us
 * would. Above the ports that services are known by.
 */
const range = { from: 12_000, to: 32_000 };

/** Given out by this process, so that two apps that have not started yet do not get the same one. */
const given = new Set<number>();

/** A loopback port nobody listens on right now. Another program may still take it before you do: be ready for that. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    const port = randomInt(range.from, range.to);
    if (given.has(port) || !(await isPortFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`no free port from ${range.from} to ${range.to} on 127.0.0.1`);
}

/** True when nobody listens on this port of `host`. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}
