/**
 * Puts answers on the wire: whole, cut off in the middle, or not at all.
 *
 * Always true: bytes and headers are exactly the simulation's; Express adds nothing.
 */
import { constants, gzipSync } from 'node:zlib';
import type { SimulatedReply } from '@recloser/upstreams/simulation/simulation';
import type { Response } from 'express';

const smallestGzippedBytes = 1024;

/** Sends a whole answer, gzipped when it is long and the client takes that. */
export function sendReply(res: Response, reply: SimulatedReply, acceptEncoding = ''): void {
  const plain = Buffer.from(reply.body);
  const gzip = plain.length > smallestGzippedBytes && /\bgzip\b/.test(acceptEncoding);
  const body = gzip ? gzipSync(plain, { level: constants.Z_BEST_SPEED }) : plain;
  writeHead(res, reply, body.length);
  if (gzip) res.setHeader('Content-Encoding', 'gzip');
  res.end(body);
}

/** Promises the whole body, sends half of it, and breaks the connection. */
export function cutOff(res: Response, reply: SimulatedReply): void {
  const body = Buffer.from(reply.body);
  writeHead(res, reply, body.length);
  res.write(body.subarray(0, Math.floor(body.length / 2)), () => res.socket?.destroy());
}

/** Breaks the connection with a TCP reset, without a byte of answer. */
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
