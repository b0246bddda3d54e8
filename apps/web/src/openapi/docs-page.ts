/**
 * `GET /docs`: Swagger UI for `/openapi.json`. This server delivers all assets, so the page works offline and under a
 * Content-Security-Policy without inline scripts.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { problem } from '../http/problem.ts';
import type { ApiResponse } from '../http/route.ts';

const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Recloser API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<noscript>This page needs JavaScript. The OpenAPI document is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const start = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
});
`;

const script = 'text/javascript; charset=utf-8';
const assets: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': script,
};

// Swagger UI sets style attributes and loads its icons from data URLs.
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * The page and the files that it loads. `file` answers 404 for any other name. Files are cached after the first read.
 */
export function createDocsPages(): { page: ApiResponse; file: (name: string) => ApiResponse } {
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  const cache = new Map<string, ApiResponse>();
  const load = (name: string, type: string): ApiResponse => {
    const found = cache.get(name) ?? answer(readFileSync(join(folder, name), 'utf8'), type);
    cache.set(name, found);
    return found;
  };
  return {
    page: { ...answer(html, 'text/html; charset=utf-8') },
    file(name) {
      if (name === 'start.js') return answer(start, script);
      const type = Object.hasOwn(assets, name) ? assets[name] : undefined;
      return type ? load(name, type) : problem('not_found', { detail: 'Check the URL.' });
    },
  };
}

function answer(body: string, type: string): ApiResponse {
  return { status: 200, headers: { 'Content-Type': type, 'Content-Security-Policy': policy }, body };
}
