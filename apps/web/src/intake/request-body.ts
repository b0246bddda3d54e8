/**
 * Validates the body of a call, `{input, options?}`. Reports one error per invalid field. Unknown fields are refused.
 */
import type { CallbackHosts } from '@recloser/calls/callback/hosts';
import { type CallOptions, callOptions } from '@recloser/calls/write/options';
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { z } from 'zod';
import type { FieldError } from '../http/problem.ts';

export type Submission = { readonly input: Record<string, unknown>; readonly options: CallOptions };

type Parsed =
  | { readonly ok: true; readonly value: Submission }
  | { readonly ok: false; readonly errors: FieldError[] };

/** Parses a body with the schemas of the operation's input and of the options. */
export function parseSubmission(
  body: object,
  operation: OperationDefinition,
  callbackHosts?: CallbackHosts,
): Parsed {
  const parsed = schemaOf(operation, callbackHosts).safeParse(body);
  if (!parsed.success) return { ok: false, errors: fieldErrors(parsed.error.issues) };
  const { input, options } = parsed.data;
  if (options.ifOpen === 'stale' && operation.effect !== 'read') {
    const message = '"stale" is supported only for read operations. Use "defer" or "reject".';
    return { ok: false, errors: [{ pointer: '/options/ifOpen', message }] };
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return { ok: false, errors: [{ pointer: '/input', message: 'Expected an object.' }] };
  }
  return { ok: true, value: { input: { ...input }, options } };
}

function createSchema(operation: OperationDefinition, callbackHosts: CallbackHosts | undefined) {
  return z.strictObject({
    input: operation.input,
    options: callOptions(Date.now, callbackHosts).prefault({}),
  });
}

type Built = {
  readonly callbackHosts: CallbackHosts | undefined;
  readonly schema: ReturnType<typeof createSchema>;
};

/** Building a schema is a thousand times slower than a validation with it. */
const built = new WeakMap<OperationDefinition, Built>();

function schemaOf(operation: OperationDefinition, callbackHosts: CallbackHosts | undefined): Built['schema'] {
  const before = built.get(operation);
  if (before && before.callbackHosts === callbackHosts) return before.schema;
  const schema = createSchema(operation, callbackHosts);
  built.set(operation, { callbackHosts, schema });
  return schema;
}

/** One error per field: the first one. */
export function fieldErrors(issues: readonly z.core.$ZodIssue[]): FieldError[] {
  const byPointer = new Map<string, string>();
  for (const issue of issues) {
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    for (const key of unknown) {
      const pointer = toPointer(key === undefined ? issue.path : [...issue.path, key]);
      const message = key === undefined ? issue.message : 'Unknown field.';
      if (!byPointer.has(pointer)) byPointer.set(pointer, message);
    }
  }
  return [...byPointer].map(([pointer, message]) => ({ pointer, message }));
}

function toPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
