/**
 * `ifOpen: "stale"`: returns the last good result of the same input, marked as stale, while the breaker is not closed.
 */

import { openValue } from '@recloser/calls/call/seal-input';
import { holdView } from '@recloser/calls/read/view';
import { type LastGood, resultKeyOf } from '@recloser/calls/write/last-good';
import type { ApiResponse } from '../http/route.ts';
import type { UpstreamStateView, WebDeps } from '../http/web-deps.ts';
import type { Target } from './find-target.ts';
import type { Submission } from './request-body.ts';

/** Answers 200 with the result and its age in seconds. Undefined if no result is recent enough. */
export async function staleAnswer(
  deps: WebDeps,
  { upstream, operation }: Target,
  { input }: Submission,
  { breaker, holds, nowMs }: UpstreamStateView,
): Promise<ApiResponse | undefined> {
  const good = await upstream.lastGood.find(resultKeyOf(operation.name, input), deps.staleTtlSeconds * 1000);
  const opened = good && open(deps, good);
  if (!good || !opened) return undefined;
  const age = Math.max(0, Math.floor((nowMs - good.finishedMs) / 1000));
  return {
    status: 200,
    headers: { Age: String(age) },
    body: {
      stale: true,
      id: good.id,
      upstream: upstream.name,
      operation: operation.name,
      status: 'succeeded',
      input: masked(input, operation.sealedInput ?? []),
      finishedAt: new Date(good.finishedMs).toISOString(),
      age,
      result: opened.result,
      breaker: {
        state: breaker.state,
        retryAt: breaker.retryAt === null ? null : new Date(breaker.retryAt).toISOString(),
      },
      holds: holds.map(holdView),
      links: { self: `/v1/calls/${good.id}`, upstream: `/v1/upstreams/${upstream.name}` },
    },
  };
}

/** The decrypted result. Undefined if none of the configured keys can decrypt it. */
function open(deps: WebDeps, good: LastGood): { result: unknown } | undefined {
  try {
    return { result: openValue(good.result, deps.sealer) ?? null };
  } catch (err) {
    deps.log.warn({ err, call: good.id }, 'a stale result cannot be decrypted');
    return undefined;
  }
}

function masked(
  input: Readonly<Record<string, unknown>>,
  fields: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(input).map(([name, value]) => [name, fields.includes(name) ? '[sealed]' : value]),
  );
}
