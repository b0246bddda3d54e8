/**
 * ioredis's way to the master, with a watch for failovers of our own. ioredis's (`failoverDetector`) breaks off a
 * connection that is just being made, and then for good; it also breaks off one that is with the new master already,
 * and ours for a failover of another master.
 */
import { Redis, type SentinelConnectionOptions, SentinelConnector } from 'ioredis';

/** What a sentinel publishes when a failover is over: name, old address and port, new address and port. */
const switchChannel = '+switch-master';

type Connect = SentinelConnector['connect'];
type Stream = Awaited<ReturnType<Connect>>;

/** Goes to the master, and breaks the connection off when a sentinel names another. */
export class WatchingSentinelConnector extends SentinelConnector {
  /** As ioredis asks of a connector: it hands its own options over. */
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
    // A sentinel that is away is nobody's trouble while another one answers.
    watcher.on('error', () => {});
    watcher.on('message', (_channel: string, said: string) => {
      if (this.#isElsewhere(said, stream)) stream.destroy();
    });
    watcher.subscribe(switchChannel).catch(() => {});
    return watcher;
  }

  /** A name in place of an address counts as another one: to connect once more does no harm. */
  #isElsewhere(said: string, stream: Stream): boolean {
    const [name, , , host, port] = said.split(' ');
    if (name !== this.options.name) return false;
    return !('remotePort' in stream) || stream.remoteAddress !== host || stream.remotePort !== Number(port);
  }
}
