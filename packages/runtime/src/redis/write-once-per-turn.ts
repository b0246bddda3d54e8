/** A socket write costs more than most commands do: commands of one turn of the event loop leave in one write. */
import type { Redis } from './connection.ts';

/** For a single server. Each command keeps its own reply, error and time limit. A cluster's nodes write as before. */
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
