/** `GET /v1/calls/{id}`: returns the call. `?wait=N` waits up to N seconds for it to finish. */

import { queryWait } from '../http/prefer.ts';
import { problem } from '../http/problem.ts';
import type { ApiRequest, ApiResponse } from '../http/route.ts';
import type { WebDeps } from '../http/web-deps.ts';
import { awaitCall, missingCall, upstreamOf } from './find-call.ts';

/** Answers 200 with the call, 404 for an unknown id, or 410 for a call that is no longer kept. */
export async function getCall(request: ApiRequest, deps: WebDeps): Promise<ApiResponse> {
  const seconds = queryWait(request.query.wait);
  if (seconds === undefined) {
    return problem('invalid_query', {
      detail: 'wait must be a whole number of seconds.',
      more: { parameter: 'wait' },
    });
  }
  const id = request.params.id ?? '';
  const upstream = upstreamOf(deps, id);
  if (!upstream) return missingCall('unknown');
  const found = await awaitCall(deps, upstream, id, { seconds, signal: request.signal });
  if (found.kind !== 'found') return missingCall(found.kind);
  return { status: 200, body: found.view };
}
