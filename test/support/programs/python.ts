/** A Python for the tests. Always true: no Python with Flask is an error that says how to get one, never a skipped test. */

import { spawnSync } from 'node:child_process';
import type { Env } from '@recloser/runtime/env/env';
import { programsOnPath } from './programs.ts';

/** The first `python3` on the PATH that has Flask: one of a version manager may stand before Debian's. Throws with advice. */
export function findPython(env: Env = process.env): string {
  const found = programsOnPath(['python3'], env).find(
    (file) => spawnSync(file, ['-c', 'import flask'], { env }).status === 0,
  );
  if (found) return found;
  throw new Error(
    'These tests need a python3 with Flask and there is none. Install it (Debian, Ubuntu: apt-get install python3-flask).',
  );
}
