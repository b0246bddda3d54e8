/**
 * Tells who waits that a call is finished. One reader of BullMQ's event stream per upstream and process,
 * started with the first who waits; nobody polls.
 *
 * Always true: the reader begins at a moment before the first wait, so no event is missed between asking for
 * the call's state and listening. An event only says "look again"; the state is read from the job.
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
  /** Without a command timeout (role `worker`); duplicated for each upstream. */
  readonly redis: Redis;
  /** Redis' clock in ms; rejects soon when Redis is away. */
  readonly now: () => Promise<number>;
  readonly log: Log<'warn'>;
};

/** Opens nothing until somebody waits. */
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
      log.warn({ err, upstream: source.name }, 'the event stream could not be opened');
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
  // `$` as a start would lose events between two reads; an id made of Redis' own clock does not.
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

/** Listens from now on; `happened` resolves with the next event of this id, or when `end` is aborted. */
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
