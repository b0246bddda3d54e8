/** Is there room on the disk of the data folder? */
import { statfsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Finding, fail, ok, warn } from './finding.ts';

const mebibyte = 2 ** 20;
const failBelow = 200 * mebibyte;
const warnBelow = 2048 * mebibyte;

/** What a folder's disk has free, in bytes. */
type ReadFree = (folder: string) => number;

/** Looks at the disk that holds the folder, or will hold it. */
export function checkDisk(dataDir: string, readFree: ReadFree = freeBytes): Finding {
  const free = readFree(resolve(dataDir));
  const found = `${free < 10 * 1024 * mebibyte ? `${Math.round(free / mebibyte)} MiB` : `${Math.round(free / mebibyte / 1024)} GiB`} free where DATA_DIR is`;
  const advice = 'make room: a Redis that cannot write its append-only file takes no more calls';
  if (free < failBelow) return fail('disk', found, advice);
  return free < warnBelow ? warn('disk', found, advice) : ok('disk', found);
}

/** Of the folder, or of the nearest one above it that exists. */
function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(folder) === folder) throw error;
    return freeBytes(dirname(folder));
  }
}
