/**
 * Waits for calls without polling. The first wait for an upstream opens one reader of BullMQ's event stream. The reader
 * starts at a time before the wait, so no event is missed. An event only triggers a new read; the state comes from the
 * job.
 */

import { EventEmitter } from 'node:events';
import type { Log } from '@recloser/runtime/observe/log';
import type { Redis } from '@recloser/runtime/redis/connection';
import { QueueEvents } from 'bullmq';
import type { CallWaiter, EventSource } from '../http/web-deps.ts';

const endings = ['completed', 'failed', 'removed'] as const;
const changes = ['waiting', 'delayed', 'active', 'stalled'] as const;
const headStartMs = 5000;

type WaiterOptions = {
  /** A connection without a command timeout (role `worker`). BullMQ duplicates it for each upstream. */
  readonly redis: Redis;
  /** Redis' clock in ms. */
  readonly now: () => Promise<number>;
  readonly log: Log<'warn'>;
};

export function createCallWaiter({ redis, now, log }: WaiterOptions): CallWaiter {
  const readers = new Map<string, Promise<QueueEvents>>();
  const finished = new EventEmitter().setMaxListeners(0);
  const changed = new EventEmitter().setMaxListeners(0);
  const stopping = new AbortController();

  function listenTo(source: EventSource): void {
    if (readers.has(source.name) || stopping.signal.aborted) return;
    const reader = startReader({ redis, now, log }, source, { finished, changed });
    readers.set(source.name, reader);
    reader.catch((err) => {
      readers.delete(source.name);
      log.warn({ err, upstream: source.name }, 'the event stream cannot be opened');
    });
  }

  return {
    async wait({ source, id, timeoutMs, signal, look }) {
      listenTo(source);
      const end = AbortSignal.any([signal, stopping.signal, AbortSignal.timeout(timeoutMs)]);
      for (;;) {
        const last = end.aborted;
        const event = nextEvent(finished, id, end);
        try {
          const { finished: done, seen } = await look();
          if (done || last) return seen;
          await event.happened;
        } finally {
          event.forget();
        }
      }
    },
    async follow({ source, id, everyMs, signal, look }) {
      listenTo(source);
      const end = AbortSignal.any([signal, stopping.signal]);
      while (!end.aborted) {
        const pause = new AbortController();
        const timer = setTimeout(() => pause.abort(), everyMs);
        const event = nextEvent(changed, id, AbortSignal.any([end, pause.signal]));
        try {
          if ((await look()).finished) return;
          await event.happened;
        } finally {
          clearTimeout(timer);
          event.forget();
        }
      }
    },
    async stop() {
      stopping.abort();
      const open = await Promise.allSettled(readers.values());
      readers.clear();
      await Promise.allSettled(open.map((reader) => reader.status === 'fulfilled' && reader.value.close()));
    },
  };
}

async function startReader(
  { redis, now, log }: WaiterOptions,
  { name, root }: EventSource,
  { finished, changed }: { finished: EventEmitter; changed: EventEmitter },
): Promise<QueueEvents> {
  // Starting at `$` would lose events between two reads. An id from Redis' clock does not.
  const lastEventId = `${(await now()) - headStartMs}-0`;
  const reader = new QueueEvents(name, {
    connection: redis,
    prefix: root,
    lastEventId,
    skipVersionCheck: true,
  });
  reader.on('error', (err) => log.warn({ err, upstream: name }, 'the event stream is interrupted'));
  for (const ending of endings) {
    reader.on(ending, ({ jobId }: { jobId: string }) => {
      finished.emit(jobId);
      changed.emit(jobId);
    });
  }
  for (const change of changes) {
    reader.on(change, ({ jobId }: { jobId: string }) => void changed.emit(jobId));
  }
  return reader;
}

/** Listens immediately. `happened` resolves at the next event of this id, or when `end` is aborted. */
function nextEvent(
  events: EventEmitter,
  id: string,
  end: AbortSignal,
): { happened: Promise<void>; forget(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  events.on(id, wake);
  if (end.aborted) wake();
  else end.addEventListener('abort', wake);
  return {
    happened: promise,
    forget() {
      events.off(id, wake);
      end.removeEventListener('abort', wake);
    },
  };
}
