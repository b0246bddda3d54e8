/**
 * Converts an Express request into what a simulation's handlers read. An invalid body becomes an empty one, which the
 * handler then refuses.
 */
import type { SimulatedRequest } from '@recloser/upstreams/simulation/simulation';
import type { Request } from 'express';

/** Parses a request whose body `express.raw` has read. `path` is relative to the mount. */
export function parseRequest(req: Request, path: string, loginUrl: string): SimulatedRequest {
  const body = Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0);
  const contentType = req.headers['content-type'] ?? '';
  const bodyKind = body.length === 0 ? 'none' : kindOf(contentType);
  return {
    method: req.method,
    path,
    query: new URL(req.originalUrl, 'http://simulator').searchParams,
    headers: Object.fromEntries(
      Object.entries(req.headers).map(([name, value]) => [name, value?.toString()]),
    ),
    cookies: parseCookies(req.headers.cookie ?? ''),
    bodyKind,
    fields: fieldsOf(bodyKind, body, contentType),
    json: bodyKind === 'json' ? readJson(body) : undefined,
    loginUrl,
  };
}

function kindOf(contentType: string): SimulatedRequest['bodyKind'] {
  const type = contentType.split(';')[0]?.trim().toLowerCase();
  if (type === 'application/x-www-form-urlencoded') return 'form';
  if (type === 'multipart/form-data') return 'multipart';
  return type === 'application/json' ? 'json' : 'other';
}

function fieldsOf(
  kind: SimulatedRequest['bodyKind'],
  body: Buffer,
  contentType: string,
): Record<string, string> {
  if (kind === 'form') return Object.fromEntries(new URLSearchParams(body.toString()));
  if (kind === 'multipart') return multipartFields(body.toString(), contentType);
  return {};
}

/** Returns the text parts by name. Node's own parser is stricter about boundaries than the real upstreams. */
function multipartFields(body: string, contentType: string): Record<string, string> {
  const boundary = /boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  const fields: [string, string][] = [];
  for (const part of boundary ? body.split(`--${boundary}`) : []) {
    const headEnd = part.indexOf('\r\n\r\n');
    const name = /content-disposition:[^\r\n]*[; ]name="([^"]*)"/i.exec(part.slice(0, headEnd))?.[1];
    if (headEnd >= 0 && name !== undefined) fields.push([name, part.slice(headEnd + 4).replace(/\r\n$/, '')]);
  }
  return Object.fromEntries(fields);
}

function parseCookies(header: string): Map<string, string> {
  const pairs = header.split(';').map((pair): [string, string] => {
    const equals = pair.indexOf('=');
    return [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()];
  });
  return new Map(pairs.filter(([name]) => name !== ''));
}

function readJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
