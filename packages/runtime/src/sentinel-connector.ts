import { type SentinelConnectionOptions, SentinelConnector } from 'ioredis';

/** What ioredis keeps to hear of a new master. */
type Watch = { cleanup(): void };

/**
 * ioredis's way to the master, without the watch of the connection before: told of another master while the next
 * connection is being made, it would end the client for good (status `end`) instead of letting it connect.
 */
export class FreshSentinelConnector extends SentinelConnector {
  /** As ioredis asks of a connector: it hands its own options over. */
  constructor(options: unknown) {
    super(options as SentinelConnectionOptions);
  }

  override connect(
    ...args: Parameters<SentinelConnector['connect']>
  ): ReturnType<SentinelConnector['connect']> {
    (this as unknown as { failoverDetector: Watch | null }).failoverDetector?.cleanup();
    return super.connect(...args);
  }
}
