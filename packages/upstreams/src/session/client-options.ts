/** What every upstream's client is made of. */

import type { Log } from '@recloser/runtime/observe/log';
import type { UpstreamSettings } from '../contract/settings.ts';
import type { SessionStore } from './store.ts';

/** Settings of one upstream, the fleet's session for it, and a log. */
export type ClientOptions = {
  readonly settings: UpstreamSettings;
  readonly sessions: SessionStore;
  readonly log: Log;
};
