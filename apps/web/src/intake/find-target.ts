/** Finds the operation that a request names. */
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { problem } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';
import type { WebDeps, WebUpstream } from '../http/web-deps.ts';

export type Target = { readonly upstream: WebUpstream; readonly operation: OperationDefinition };

/** The operation, or a 404 with the valid names in `known`. */
export function findTarget(upstreamName: string, operationName: string, deps: WebDeps): Target | ApiResponse {
  const upstream = deps.upstreams.get(upstreamName);
  if (!upstream) {
    return problem('unknown_upstream', {
      detail: 'Unknown upstream. See `known` for valid names.',
      more: { known: [...deps.upstreams.keys()] },
    });
  }
  const known = Object.keys(upstream.operations);
  const operation = known.includes(operationName) ? upstream.operations[operationName] : undefined;
  if (!operation)
    return problem('unknown_operation', {
      detail: `Unknown operation of ${upstreamName}. See \`known\` for valid names.`,
      more: { known },
    });
  return { upstream, operation };
}
