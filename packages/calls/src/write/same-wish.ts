/**
 * "Same wish": for an operation with a duplicate window, a post without an idempotency key is answered with the call
 * that the same application asked for with the same input, if that call is unfinished, in doubt, or was accepted within
 * the window.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '../call/canonical-json.ts';

/** What makes two posts the same wish. */
export type Wish = {
  /** Name of the API key; absent where none is needed. */
  readonly submittedBy?: string | undefined;
  readonly upstream: string;
  readonly operation: string;
  /** Validated input, in clear. */
  readonly input: Readonly<Record<string, unknown>>;
};

/** Names a wish in Redis without telling anything of its input: equal wishes have the same digest. */
export function wishDigest({ submittedBy, upstream, operation, input }: Wish): string {
  return createHash('sha256')
    .update(canonicalJson([submittedBy ?? '', upstream, operation, input]))
    .digest('base64url');
}

/** The operations with `seconds` as the duplicate window of those that have one; undefined leaves them as they are. */
export function withDuplicateWindow<Operation extends { readonly duplicateWindowSeconds?: number }>(
  operations: Readonly<Record<string, Operation>>,
  seconds: number | undefined,
): Readonly<Record<string, Operation>> {
  if (seconds === undefined) return operations;
  const changed = Object.entries(operations).map(([name, operation]) => [
    name,
    operation.duplicateWindowSeconds ? { ...operation, duplicateWindowSeconds: seconds } : operation,
  ]);
  return Object.fromEntries(changed);
}
