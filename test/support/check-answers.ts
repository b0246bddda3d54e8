/** A setup file: validates every answer that `fetch` gets from the API against its OpenAPI document. */
import { mismatch } from './openapi-check.ts';

const plain = globalThis.fetch;

globalThis.fetch = async (input, init) => {
  const response = await plain(input, init);
  const url = new URL(response.url);
  // Only the API has these paths.
  if (!/^\/(v1\/|v1$|openapi\.json$)/.test(url.pathname)) return response;
  // Every answer of the API has this header. Fake servers in tests of the client do not.
  if (!response.headers.has('x-request-id')) return response;
  if (response.headers.get('content-type')?.startsWith('text/event-stream')) return response;
  const method = init?.method ?? 'GET';
  const { status } = response;
  const type = response.headers.get('content-type');
  const wrong = mismatch({
    method,
    path: decoded(url.pathname),
    status,
    type,
    body: await response.clone().text(),
  });
  if (wrong !== null)
    throw new Error(`${method} ${url.pathname} ${status} does not fit /openapi.json: ${wrong}`);
  return response;
};

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
