/**
 * Says who runs a Redis on a data folder, so that two never write the same append-only file.
 *
 * Always true: the note lies in the folder itself; a note whose processes are gone counts for nothing; a Redis left
 * over from a start that crashed is recognised (its process id and folder agree) and stopped cleanly.
 */
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/** Another live process uses this data folder. */
export class DataDirBusyError extends Error {
  readonly code = 'data_dir_busy';
  override readonly name = 'DataDirBusyError';
}

type Note = { readonly ownerPid: number; readonly redisPid?: number; readonly port?: number };

/** A data folder held by this process. */
export type Lease = {
  /** Notes which Redis runs, for whoever has to clear up after a crash. */
  record(redis: { readonly redisPid: number; readonly port: number }): void;
  release(): void;
};

/** Folders held within this process, which process ids alone cannot tell apart. */
const heldHere = new Set<string>();

/** Takes the folder. Throws {@link DataDirBusyError}; stops a leftover Redis, telling `say`. */
export async function takeDataDir(dataDir: string, say: (line: string) => void): Promise<Lease> {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, 'redis-owner.json');
  const draft = `${path}.${randomUUID()}`;
  const write = (note: Note) => writeFileSync(draft, JSON.stringify(note));
  for (;;) {
    write({ ownerPid: process.pid });
    if (linkNew(draft, path)) break;
    const note = readNote(path);
    if (note && isHeld(note, dataDir)) {
      rmSync(draft, { force: true });
      throw new DataDirBusyError(
        `The data folder ${dataDir} is in use by process ${note.ownerPid}: stop that one first, or set DATA_DIR to another folder`,
      );
    }
    if (note) await stopLeftover(note, dataDir, say);
    rmSync(path, { force: true });
  }
  rmSync(draft, { force: true });
  heldHere.add(dataDir);
  return {
    record({ redisPid, port }) {
      write({ ownerPid: process.pid, redisPid, port });
      renameSync(draft, path);
    },
    release() {
      if (heldHere.delete(dataDir)) rmSync(path, { force: true });
    },
  };
}

function linkNew(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}

function readNote(path: string): Note | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Note;
  } catch {
    return undefined;
  }
}

function isHeld({ ownerPid }: Note, dataDir: string): boolean {
  return ownerPid === process.pid ? heldHere.has(dataDir) : isAlive(ownerPid);
}

/** True when a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function stopLeftover(
  { redisPid, port }: Note,
  dataDir: string,
  say: (line: string) => void,
): Promise<void> {
  if (!redisPid || !port || !isAlive(redisPid)) return;
  const redis = new Redis({
    port,
    host: '127.0.0.1',
    retryStrategy: null,
    commandTimeout: 5000,
    lazyConnect: true,
  });
  redis.on('error', () => {});
  try {
    await redis.connect();
    const isIt = (await redis.info('server')).includes(`process_id:${redisPid}\r\n`);
    if (!isIt) return;
    say(
      `A Redis was left running on ${dataDir} by a start that crashed (process ${redisPid}): stopping it first`,
    );
    await redis.call('SHUTDOWN', 'NOSAVE').catch(() => {});
    while (isAlive(redisPid)) await new Promise((resolve) => setTimeout(resolve, 20));
  } catch {
    // Nothing answers there: the process id belongs to another program by now.
  } finally {
    redis.disconnect();
  }
}
