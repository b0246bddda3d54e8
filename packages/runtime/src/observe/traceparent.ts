/** Parses a W3C `traceparent` header (https://www.w3.org/TR/trace-context/, 3.2). Returns null if it is invalid. */
export function parseTraceparent(
  header: string | undefined,
): { readonly traceId: string; readonly spanId: string; readonly flags: number } | null {
  const [, version, traceId = '', spanId = '', flags = ''] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(header ?? '') ?? [];
  if (version === undefined || version === 'ff') return null;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}
