/** Which operation of which upstream a request is for. */
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { problem } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';
import type { WebDeps, WebUpstream } from '../http/web-deps.ts';

/** The operation a call is for. */
export type Target = { readonly upstream: WebUpstream; readonly operation: OperationDefinition };

/** The operation, or the problem with its name. */
export function findTarget(upstreamName: string, operationName: string, deps: WebDeps): Target | ApiResponse {
  const upstream = deps.upstreams.get(upstreamName);
  if (!upstream) {
    return problem('unknown_upstream', {
      detail: 'GET /v1/upstreams lists the upstreams.',
      more: { known: [...deps.upstreams.keys()] },
    });
  }
  const known = Object.keys(upstream.operations);
  const operation = known.includes(operationName) ? upstream.operations[operationName] : undefined;
  if (!operation)
    return problem('unknown_operation', { detail: `${upstreamName} has other operations.`, more: { known } });
  return { upstream, operation };
}
