/** Finds a Python with Flask. Without one a test fails with an instruction and is never skipped. */

import { spawnSync } from 'node:child_process';
import type { Env } from '@recloser/runtime/env/env';
import { programsOnPath } from './programs.ts';

/** Returns the first `python3` on the PATH that has Flask. Earlier ones, for example of a version manager, may lack it. */
export function findPython(env: Env = process.env): string {
  const found = programsOnPath(['python3'], env).find(
    (file) => spawnSync(file, ['-c', 'import flask'], { env }).status === 0,
  );
  if (found) return found;
  throw new Error(
    'These tests need a python3 with Flask. Install it (Debian, Ubuntu: apt-get install python3-flask).',
  );
}
