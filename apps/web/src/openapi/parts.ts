/** Parts that all sections of the OpenAPI document share. */

type Json = Record<string, unknown>;

/** The content of a body with a component schema. */
export function json(schema: string, type = 'application/json'): Json {
  return { [type]: { schema: { $ref: `#/components/schemas/${schema}` } } };
}

/** References to the problem responses with these statuses. */
export function problemRefs(...statuses: readonly number[]): Json {
  return Object.fromEntries(
    statuses.map((status) => [String(status), { $ref: `#/components/responses/Problem${status}` }]),
  );
}
