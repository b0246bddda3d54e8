import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { latencies, quantile } from './latency.ts';

async function serve(status: number) {
  let posts = 0;
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      posts += 1;
      response.writeHead(status).end('{}');
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, posts: () => posts };
}

it('sends the given number of posts and times each', async () => {
  const { url, posts } = await serve(202);
  const times = await latencies({ url, headers: {}, body: '{}' }, { count: 25, atOnce: 4 });
  expect(posts()).toBe(25);
  expect(times).toHaveLength(25);
  expect(Math.min(...times)).toBeGreaterThan(0);
});

it('throws for an answer other than 202', async () => {
  const { url } = await serve(503);
  await expect(latencies({ url, headers: {}, body: '{}' }, { count: 2, atOnce: 1 })).rejects.toThrow('503');
});

it('finds quantiles', () => {
  const values = Array.from({ length: 100 }, (_, n) => 100 - n);
  expect([0.5, 0.99, 1].map((share) => quantile(values, share))).toEqual([50, 99, 100]);
  expect(quantile([7], 0.99)).toBe(7);
  expect(quantile([], 0.5)).toBeNaN();
});
