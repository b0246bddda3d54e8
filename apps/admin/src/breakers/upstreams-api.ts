/** `GET /api/upstreams` and its live stream, `GET /api/upstreams/stream`. */
import type { Redis } from '@recloser/runtime/redis/connection';
import type { Request, Response } from 'express';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';
import type { UpstreamFeed } from './upstream-feed.ts';
import { readSnapshot } from './upstream-view.ts';

const heartbeatMs = 15_000;
// Ends a stream so that the page reconnects and its session is checked again.
const streamLifeMs = 10 * 60 * 1000;

/** `GET /api/upstreams`. */
export function listUpstreams(redis: Redis, upstreams: readonly AdminUpstream[]) {
  return async (_req: Request, res: Response): Promise<void> => {
    res.json(await readSnapshot(redis, upstreams));
  };
}

/** `GET /api/upstreams/stream`: events `upstreams` with the same body, `unavailable` while Redis cannot be read. */
export function streamUpstreams(feed: UpstreamFeed) {
  return (req: Request, res: Response): void => {
    res.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    });
    res.write('retry: 1000\n\n');
    const stopListening = feed.listen((event) => {
      const [name, json] = event.kind === 'snapshot' ? ['upstreams', event.json] : ['unavailable', '{}'];
      // A slow client skips this event, so that unread events do not fill the memory.
      if (res.writableNeedDrain) return;
      res.write(`event: ${name}\ndata: ${json}\n\n`);
    });
    const heartbeat = setInterval(() => res.write(': still here\n\n'), heartbeatMs);
    const life = setTimeout(() => res.end(), streamLifeMs);
    req.once('close', end);
    res.once('close', end);
    function end(): void {
      stopListening();
      clearInterval(heartbeat);
      clearTimeout(life);
    }
  };
}
