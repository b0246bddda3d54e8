/** Sends answers: complete, truncated, or not at all. Bytes and headers are the simulation's; Express adds none. */
import { constants, gzipSync } from 'node:zlib';
import type { SimulatedReply } from '@recloser/upstreams/simulation/simulation';
import type { Response } from 'express';

const smallestGzippedBytes = 1024;

/** Sends a complete answer, compressed if it is long and the client accepts gzip. */
export function sendReply(res: Response, reply: SimulatedReply, acceptEncoding = ''): void {
  const plain = Buffer.from(reply.body);
  const gzip = plain.length > smallestGzippedBytes && /\bgzip\b/.test(acceptEncoding);
  const body = gzip ? gzipSync(plain, { level: constants.Z_BEST_SPEED }) : plain;
  writeHead(res, reply, body.length);
  if (gzip) res.setHeader('Content-Encoding', 'gzip');
  res.end(body);
}

/** Announces the full length, sends half of the body and destroys the connection. */
export function cutOff(res: Response, reply: SimulatedReply): void {
  const body = Buffer.from(reply.body);
  writeHead(res, reply, body.length);
  res.write(body.subarray(0, Math.floor(body.length / 2)), () => res.socket?.destroy());
}

/** Sends a TCP reset instead of an answer. */
export function resetConnection(res: Response): void {
  res.socket?.resetAndDestroy();
}

function writeHead(res: Response, reply: SimulatedReply, length: number): void {
  res.statusCode = reply.status;
  for (const [name, value] of Object.entries(reply.headers)) {
    res.setHeader(name, typeof value === 'string' ? value : [...value]);
  }
  if (reply.status !== 204 && reply.status !== 304) res.setHeader('Content-Length', length);
}
