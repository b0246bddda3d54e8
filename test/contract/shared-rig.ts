/** Shares one rig among the tests of a describe block: starting a rig takes longer than most tests. */
import type { UpstreamName } from '@recloser/upstreams/definitions';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { Rig } from './rig.ts';

/** Prepares the rig before each test, and searches it for secrets after each. */
export function sharedRig(name: UpstreamName, { workers = 1 } = {}): () => Rig {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.start(name);
    while (rig.workers.length < workers) rig.addWorker();
  });
  beforeEach(() => rig.ready());
  afterEach(() => rig.assertNothingSpilt());
  afterAll(() => rig[Symbol.asyncDispose]());
  return () => rig;
}
