/** The options of every upstream's client. */
import type { Log } from '@recloser/runtime/observe/log';
import type { UpstreamSettings } from '../contract/settings.ts';
import type { SessionStore } from './store.ts';

export type ClientOptions = {
  readonly settings: UpstreamSettings;
  readonly sessions: SessionStore;
  readonly log: Log;
};
