/** Checks the free space on the disk of the data folder. */
import { statfsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Finding, fail, ok, warn } from './finding.ts';

const mebibyte = 2 ** 20;
const failBelow = 200 * mebibyte;
const warnBelow = 2048 * mebibyte;

/** Returns the free space on the folder's disk in bytes. */
type ReadFree = (folder: string) => number;

export function checkDisk(dataDir: string, readFree: ReadFree = freeBytes): Finding {
  const free = readFree(resolve(dataDir));
  const found = `${free < 10 * 1024 * mebibyte ? `${Math.round(free / mebibyte)} MiB` : `${Math.round(free / mebibyte / 1024)} GiB`} free on the disk of DATA_DIR`;
  const advice = 'free disk space: a Redis that cannot write its append-only file refuses every call';
  if (free < failBelow) return fail('disk', found, advice);
  return free < warnBelow ? warn('disk', found, advice) : ok('disk', found);
}

/** Reads the nearest existing folder: the data folder may not exist yet. */
function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(folder) === folder) throw error;
    return freeBytes(dirname(folder));
  }
}
