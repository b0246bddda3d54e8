/**
 * Builds the result of a call that a person settles as done. It copies fields from the input; the person enters only
 * what the upstream assigned. The result matches the operation's schema.
 */
import type { OperationDefinition } from '@recloser/upstreams/contract/upstream';
import { z } from 'zod';
import type { FieldError } from '../page/field-errors.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Result fields that only the upstream knows, such as the id it assigned. */
export function neededFields(operation: OperationDefinition, input: Fields): readonly string[] {
  return Object.entries(shapeOf(operation))
    .filter(([name, field]) => !(name in input) && !(field instanceof z.ZodLiteral))
    .map(([name]) => name);
}

/** The result, or the errors in the given fields. */
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
      return [{ pointer, detail: 'Differs from the input of the call, so this call was not done.' }];
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
