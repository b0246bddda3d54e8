/** Small parts that every section of the OpenAPI document is made of. */

type Json = Record<string, unknown>;

/** A body of a named component schema. */
export function json(schema: string, type = 'application/json'): Json {
  return { [type]: { schema: { $ref: `#/components/schemas/${schema}` } } };
}

/** References to the problem responses of these statuses. */
export function problemRefs(...statuses: readonly number[]): Json {
  return Object.fromEntries(
    statuses.map((status) => [String(status), { $ref: `#/components/responses/Problem${status}` }]),
  );
}
