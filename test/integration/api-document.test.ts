/** The OpenAPI document: a public linter accepts it, and every operation in it exists. */

import { startWeb } from '@recloser/web/test-kit/web-under-test';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { describe, expect, inject, test } from 'vitest';
import { mismatch, openApi } from '../support/openapi-check.ts';

const redisUrl = inject('redisUrl');

describe('the document', () => {
  test("passes a public linter's recommended rules", async () => {
    const config = await createConfig({ extends: ['recommended'] });
    const findings = await lintFromString({ source: JSON.stringify(openApi), config });
    expect(findings.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual(
      [],
    );
  });

  test('is served unchanged, and describes every operation of every upstream', async () => {
    await using web = await startWeb({ redisUrl, duplicateWindowSeconds: 60 });
    const served = (await (await web.get('/openapi.json')).json()) as typeof openApi;
    expect(served).toEqual(JSON.parse(JSON.stringify(openApi)));
    for (const { name, operations } of web.upstreams.values()) {
      for (const operation of Object.keys(operations)) {
        expect(served.paths).toHaveProperty([`/v1/calls/${name}/${operation}`]);
      }
    }
  });

  test('rejects an answer that it does not describe', () => {
    const answer = { method: 'GET', path: '/v1/upstreams', type: 'application/json' };
    expect(mismatch({ ...answer, status: 200, body: '{"upstreams":[]}' })).toBeNull();
    expect(mismatch({ ...answer, status: 200, body: '{}' })).toMatch(/upstreams/);
    expect(mismatch({ ...answer, status: 418, body: '{}' })).toMatch(/not described/);
    expect(mismatch({ ...answer, status: 200, type: 'text/plain', body: '' })).toMatch(/media type/);
    expect(mismatch({ ...answer, path: '/v1/nope', status: 200, body: '{}' })).toMatch(/does not know/);
    expect(mismatch({ ...answer, path: '/v1/nope', status: 404, body: '{}' })).toMatch(/type/);
  });
});

test('the documentation page needs no internet access and no inline script', async () => {
  await using web = await startWeb({ redisUrl });
  const page = await web.get('/docs');
  const html = await page.text();
  const policy = page.headers.get('content-security-policy') ?? '';
  expect(policy).toMatch(/default-src 'none'; script-src 'self';/);
  expect(html).not.toMatch(/https?:\/\/|<script>/);
  const files = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, address]) => address ?? '');
  expect(files.length).toBeGreaterThanOrEqual(4);
  for (const address of files) {
    const file = await web.get(address);
    expect(file.status, address).toBe(200);
    expect((await file.text()).length).toBeGreaterThan(50);
  }
  for (const address of ['/docs/package.json', '/docs/..%2fpackage.json', '/docs/constructor']) {
    expect((await web.get(address)).status, address).toBe(404);
  }
});
