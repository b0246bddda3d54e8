/**
 * Connects ioredis to the master and watches for failovers. Replaces ioredis's `failoverDetector`, which permanently
 * aborts a connection that is being opened, closes one that already reached the new master, and reacts to failovers of
 * other masters.
 */
import { Redis, type SentinelConnectionOptions, SentinelConnector } from 'ioredis';

/** Published by a sentinel after a failover: name, old address, old port, new address, new port. */
const switchChannel = '+switch-master';

type Connect = SentinelConnector['connect'];
type Stream = Awaited<ReturnType<Connect>>;

/** Closes its connection when a sentinel announces another master. */
export class WatchingSentinelConnector extends SentinelConnector {
  /** ioredis passes its own options. */
  constructor(options: unknown) {
    super(options as SentinelConnectionOptions);
  }

  override async connect(...args: Parameters<Connect>): Promise<Stream> {
    const stream = await super.connect(...args);
    const watchers = (this.options.sentinels ?? []).map((sentinel) => this.#watch(sentinel, stream));
    stream.once('close', () => {
      for (const watcher of watchers) watcher.disconnect();
    });
    return stream;
  }

  #watch({ host, port }: { host?: string; port?: number }, stream: Stream): Redis {
    const { sentinelPassword, sentinelTLS, connectTimeout, sentinelRetryStrategy } = this.options;
    const watcher = new Redis({
      ...(host && { host }),
      ...(port && { port }),
      ...(sentinelPassword && { password: sentinelPassword }),
      ...(sentinelTLS && { tls: sentinelTLS }),
      ...(connectTimeout && { connectTimeout }),
      ...(sentinelRetryStrategy && { retryStrategy: sentinelRetryStrategy }),
      enableReadyCheck: false,
      maxRetriesPerRequest: null,
    });
    // One unreachable sentinel does not matter while another one answers.
    watcher.on('error', () => {});
    watcher.on('message', (_channel: string, message: string) => {
      if (this.#isElsewhere(message, stream)) stream.destroy();
    });
    watcher.subscribe(switchChannel).catch(() => {});
    return watcher;
  }

  /** A host name counts as another address: reconnecting once more does no harm. */
  #isElsewhere(message: string, stream: Stream): boolean {
    const [name, , , host, port] = message.split(' ');
    if (name !== this.options.name) return false;
    return !('remotePort' in stream) || stream.remoteAddress !== host || stream.remotePort !== Number(port);
  }
}
