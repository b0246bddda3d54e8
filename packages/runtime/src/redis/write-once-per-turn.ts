/** Sends the commands of one event loop turn in one socket write, which costs more than most commands. */
import type { Redis } from './connection.ts';

/** Each command keeps its own reply, error and timeout. Has no effect on a cluster. */
export function writeOncePerTurn(redis: Redis): void {
  if (redis.isCluster) return;
  redis.on('connect', () => {
    const { stream } = redis as unknown as { readonly stream: NodeJS.WritableStream & Corkable };
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    let corked = false;
    stream.write = (...args: unknown[]) => {
      if (!corked) {
        corked = true;
        stream.cork();
        setImmediate(() => {
          corked = false;
          stream.uncork();
        });
      }
      return write(...args);
    };
  });
}

type Corkable = { cork(): void; uncork(): void };
