/**
 * Duplicate detection without an idempotency key ("same wish"). For an operation with a duplicate window, a post
 * returns an earlier call of the same API key with equal input, if that call is unfinished, in doubt or was accepted
 * within the window.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '../call/canonical-json.ts';

/** Two posts with equal fields are the same wish. */
export type Wish = {
  /** Name of the API key. Undefined if no keys are configured. */
  readonly submittedBy?: string | undefined;
  readonly upstream: string;
  readonly operation: string;
  /** Validated input in plain text. */
  readonly input: Readonly<Record<string, unknown>>;
};

/** The digest of a wish. It does not reveal the input. */
export function wishDigest({ submittedBy, upstream, operation, input }: Wish): string {
  return createHash('sha256')
    .update(canonicalJson([submittedBy ?? '', upstream, operation, input]))
    .digest('base64url');
}

/** Sets the duplicate window of the operations that have one to `seconds`, unless it is undefined. */
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
