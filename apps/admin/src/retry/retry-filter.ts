/** Selects the failed calls of a retry run. Calls in doubt and cancelled calls are never selected. */
import { listIds, readListed } from '@recloser/calls/read/list-calls';
import type { Redis } from '@recloser/runtime/redis/connection';
import { isoTimeSchema } from '@recloser/runtime/values/iso-time';
import { z } from 'zod';
import type { AdminUpstream } from '../upstream/admin-upstream.ts';

/** The filter. All fields are optional. Times refer to the end of the call. */
export const retryFilterSchema = z.strictObject({
  operation: z.string().min(1).max(100).optional(),
  code: z.string().min(1).max(100).optional(),
  status: z.enum(['failed', 'expired']).default('failed'),
  endedAfter: isoTimeSchema.optional(),
  endedBefore: isoTimeSchema.optional(),
});

/** A validated filter. */
export type RetryFilter = z.output<typeof retryFilterSchema>;

/** The matching calls. `isComplete` is false when there are more failed calls than were read. */
export type RetryMatches = {
  readonly ids: readonly string[];
  readonly byCode: Readonly<Record<string, number>>;
  readonly byOperation: Readonly<Record<string, number>>;
  readonly isComplete: boolean;
};

const mostLookedAt = 10_000;
const page = 500;

/** Finds the failed calls that match, oldest first. */
export async function findFailed(
  redis: Redis,
  { queue, root }: AdminUpstream,
  filter: RetryFilter,
): Promise<RetryMatches> {
  const listed = await listIds({ redis, queue, root }, { status: 'failed', limit: mostLookedAt + 1 });
  const looked = listed.slice(0, mostLookedAt).reverse();
  const ids: string[] = [];
  const byCode: Record<string, number> = {};
  const byOperation: Record<string, number> = {};
  for (let from = 0; from < looked.length; from += page) {
    for (const [id, { job }] of await readListed({ redis, queue }, looked.slice(from, from + page))) {
      const found = matchOf(job, filter);
      if (found === null) continue;
      ids.push(id);
      byCode[found.code] = (byCode[found.code] ?? 0) + 1;
      byOperation[found.operation] = (byOperation[found.operation] ?? 0) + 1;
    }
  }
  return { ids, byCode, byOperation, isComplete: listed.length <= mostLookedAt };
}

/** The filter as text for the audit log. */
export function filterInWords({ operation, code, status, endedAfter, endedBefore }: RetryFilter): string {
  const parts = [
    status,
    operation && `operation ${operation}`,
    code && `code ${code}`,
    endedAfter && `ended after ${endedAfter}`,
    endedBefore && `ended before ${endedBefore}`,
  ];
  return parts.filter(Boolean).join(', ');
}

type Failed = { readonly name: string; readonly data: unknown; readonly finishedOn?: number | undefined };

function matchOf(job: Failed, filter: RetryFilter): { code: string; operation: string } | null {
  const data = job.data as { settled?: { status?: string; code?: string }; sending?: unknown };
  // A call without a verdict failed outside the usual path. If it had begun to send, it may have been done.
  const status = data.settled?.status ?? (data.sending === undefined ? 'failed' : 'in_doubt');
  const code = data.settled?.code ?? 'worker_failed';
  const endedMs = job.finishedOn ?? 0;
  const matches =
    status === filter.status &&
    (filter.operation === undefined || filter.operation === job.name) &&
    (filter.code === undefined || filter.code === code) &&
    (filter.endedAfter === undefined || endedMs >= Date.parse(filter.endedAfter)) &&
    (filter.endedBefore === undefined || endedMs < Date.parse(filter.endedBefore));
  return matches ? { code, operation: job.name } : null;
}
