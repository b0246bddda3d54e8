/** Finds free TCP ports on loopback. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ephemeral ranges of Linux, macOS and Windows (from 32768, 49152 and 49152), so that no outgoing connection
 * takes the port between our check and the app's start. Above the well-known ports.
 */
const range = { from: 12_000, to: 32_000 };

/** Ports that this process has handed out: two apps that have not started yet must not get the same one. */
const given = new Set<number>();

/** Returns a loopback port that is free now. Another program may still take it first. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    const port = randomInt(range.from, range.to);
    if (given.has(port) || !(await isPortFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`No free port from ${range.from} to ${range.to} on 127.0.0.1.`);
}

export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}
