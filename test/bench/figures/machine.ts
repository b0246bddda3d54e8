/** Describes the machine of a measurement. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/** Hardware, system and versions; no names, no paths. */
export type Machine = {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** The load average of the minute before the bench. */
  readonly load: number;
  readonly node: string;
  readonly redis: string;
  readonly packages: Readonly<Record<string, string>>;
};

const measured = ['bullmq', 'ioredis', 'express', 'got', 'opossum', 'pino', 'zod'];

export async function describeMachine(redisUrl: string): Promise<Machine> {
  const redis = new Redis(redisUrl);
  const [, version = 'unknown'] = /redis_version:(\S+)/.exec(await redis.info('server')) ?? [];
  redis.disconnect();
  const versionOf = (name: string) => {
    const file = join(import.meta.dirname, '../../../node_modules', name, 'package.json');
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  };
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
    node: process.version,
    redis: version,
    packages: Object.fromEntries(measured.map((name) => [name, versionOf(name)])),
  };
}
