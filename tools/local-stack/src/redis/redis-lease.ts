/**
 * A lease on a data folder: two Redis servers must never write the same append-only file. The lease is a file in the
 * folder. It is void once its process is gone. A Redis left over from a crash is then shut down cleanly.
 */
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/** Another live process holds the lease on this data folder. */
export class DataDirBusyError extends Error {
  readonly code = 'data_dir_busy';
  override readonly name = 'DataDirBusyError';
}

type Note = { readonly ownerPid: number; readonly redisPid?: number; readonly port?: number };

export type Lease = {
  /** Records which Redis runs, so that the next holder can shut it down after a crash. */
  record(redis: { readonly redisPid: number; readonly port: number }): void;
  release(): void;
};

/** Folders held by this process: a process id alone cannot tell two holders in one process apart. */
const heldHere = new Set<string>();

/** Takes the lease, after shutting down a leftover Redis. Throws {@link DataDirBusyError}. */
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
        `The data folder ${dataDir} is in use by process ${note.ownerPid}. Stop that process, or set DATA_DIR to another folder.`,
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
    say(`Stopping a Redis left over from a crash (process ${redisPid}, data folder ${dataDir})`);
    await redis.call('SHUTDOWN', 'NOSAVE').catch(() => {});
    while (isAlive(redisPid)) await new Promise((resolve) => setTimeout(resolve, 20));
  } catch {
    // Nothing answers there: the process id now belongs to another program.
  } finally {
    redis.disconnect();
  }
}
