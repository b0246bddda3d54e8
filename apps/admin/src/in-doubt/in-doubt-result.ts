/**
 * What a person must give to settle a call as done, and the result made of it. Always true: a result fits the
 * operation's schema and repeats what was asked for; nobody types what the call says already.
 */
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { z } from 'zod';
import type { FieldError } from '../page/field-errors.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Names of the result's fields that only the upstream can tell, e.g. the id it gave. */
export function neededFields(operation: OperationDefinition, input: Fields): readonly string[] {
  return Object.entries(shapeOf(operation))
    .filter(([name, field]) => !(name in input) && !(field instanceof z.ZodLiteral))
    .map(([name]) => name);
}

/** The call's result, or what is wrong with what was given. */
export function resultFrom(
  operation: OperationDefinition,
  input: Fields,
  given: Fields,
): { readonly result: unknown } | { readonly errors: readonly FieldError[] } {
  const known: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(shapeOf(operation))) {
    if (name in input) known[name] = input[name];
    else if (field instanceof z.ZodLiteral) known[name] = field.value;
  }
  const wrong = Object.entries(given).flatMap(([name, value]) => {
    const pointer = `/result/${name}`;
    if (name in known && known[name] !== value) {
      return [{ pointer, detail: 'Differs from what the call asked for: then it is not done.' }];
    }
    return typeof value === 'string' && !/^[\w.:+-]{1,100}$/.test(value)
      ? [{ pointer, detail: 'Must be an id as the upstream shows it.' }]
      : [];
  });
  if (wrong.length > 0) return { errors: wrong };
  const parsed = operation.result.safeParse({ ...known, ...given });
  if (parsed.success) return { result: parsed.data };
  const errors = parsed.error.issues.map((issue) => ({
    pointer: ['/result', ...issue.path.map(String)].join('/'),
    detail: issue.message,
  }));
  return { errors };
}

function shapeOf({ result }: OperationDefinition): Readonly<Record<string, unknown>> {
  return result instanceof z.ZodObject ? result.shape : {};
}
