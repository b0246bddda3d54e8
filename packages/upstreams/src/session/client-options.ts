/** What every upstream's client is made of. */

import type { UpstreamSettings } from '../contract/settings.ts';
import type { SessionStore } from './store.ts';

/** What a client writes to; pino's logger fits. */
export type ClientLog = {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
};

/** Settings of one upstream, the fleet's session for it, and a log. */
export type ClientOptions = {
  readonly settings: UpstreamSettings;
  readonly sessions: SessionStore;
  readonly log: ClientLog;
};
