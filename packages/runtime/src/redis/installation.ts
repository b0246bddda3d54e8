/**
 * Whose Redis it is. The first process of an installation leaves an id under the prefix. Processes of a deployment
 * share it without looking; `npm start` refuses a Redis that carries another one, because its workers would make
 * somebody else's calls.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { parseRedisUrl } from '../env/redis-url.ts';
import { parseJson } from '../values/parse-json.ts';
import type { Redis } from './connection.ts';

const installationSchema = z.looseObject({ id: z.string(), createdAt: z.string(), madeBy: z.string() });

export type Installation = z.infer<typeof installationSchema>;

type Claim = {
  readonly redis: Pick<Redis, 'set' | 'get'>;
  /** `REDIS_PREFIX`. */
  readonly prefix: string;
  /** What makes it if there is none, such as `web`. */
  readonly madeBy: string;
  readonly id?: string;
};

/** The installation of this Redis; makes it if there is none. Null: something else is under its key. */
export async function claimInstallation({
  redis,
  prefix,
  madeBy,
  id = randomUUID(),
}: Claim): Promise<Installation | null> {
  const key = `${prefix}:installation`;
  // Read first: a full Redis refuses the write even if the id is there.
  const before = await redis.get(key);
  if (before !== null) return parse(before);
  const mine: Installation = { id, createdAt: new Date().toISOString(), madeBy };
  if ((await redis.set(key, JSON.stringify(mine), 'NX')) === 'OK') return mine;
  return parse(await redis.get(key));
}

function parse(text: string | null): Installation | null {
  return installationSchema.safeParse(parseJson(text ?? '')).data ?? null;
}

/** Leaves an id in this Redis, now or as soon as it takes one; whoever was first stays. */
export function leaveInstallationId(
  claim: Omit<Claim, 'redis' | 'id'> & {
    readonly redis: Redis;
    readonly log: { debug(about: object, message: string): void };
  },
): void {
  const { redis, log } = claim;
  const leave = (): void => {
    claimInstallation(claim).then(
      () => redis.off('ready', leave),
      (err: unknown) => log.debug({ err }, 'the id of the installation could not be stored'),
    );
  };
  redis.on('ready', leave);
  if (redis.status === 'ready') leave();
}

/** Another installation's Redis; the message says what to do. */
export class OtherInstallationError extends Error {
  readonly code = 'other_installation';
  override readonly name = 'OtherInstallationError';

  constructor({ redisUrl, prefix, other }: { redisUrl: string; prefix: string; other: Installation | null }) {
    const made = other ? `, made by ${other.madeBy} at ${other.createdAt}` : '';
    super(
      `Recloser does not start: the Redis at ${hostsOf(redisUrl)} belongs to another installation (prefix ${prefix}${made}). ` +
        'Its calls would be made by the workers and the simulator of this one. Either:\n' +
        '  - unset REDIS_URL: npm start then runs a Redis of its own\n' +
        '  - set REDIS_PREFIX to a prefix of your own, to use the same Redis side by side',
    );
  }
}

/** Where Redis is, without user name and password. */
export function hostsOf(redisUrl: string): string {
  const parsed = parseRedisUrl(redisUrl);
  if (!parsed.ok) return 'REDIS_URL';
  const { target } = parsed;
  const nodes = target.kind === 'single' ? [target.node] : target.nodes;
  return nodes.map(({ host, port }) => `${host}:${port}`).join(',');
}
