import { once } from 'node:events';
import { Agent, get, type IncomingMessage, type ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { ListenError, listen } from './http-server.ts';

const local = { host: '127.0.0.1', port: 0 };

describe('listen', () => {
  test('serves on a free port and gives its address', async () => {
    await using server = await listen((_request, response) => response.end('hello'), local);
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`);
    expect(await (await fetch(server.url)).text()).toBe('hello');
  });

  test('keeps an idle connection open longer than a proxy does', async () => {
    await using server = await listen((_request, response) => response.end(), local);
    const { headers } = await fetch(server.url);
    expect(Number(/timeout=(\d+)/.exec(headers.get('keep-alive') ?? '')?.[1])).toBeGreaterThan(60);
  });

  test('shows a wildcard host as loopback', async () => {
    await using server = await listen(() => {}, { host: '0.0.0.0', port: 0 });
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`);
  });

  test('a busy port is explained with the variable to change', async () => {
    await using server = await listen(() => {}, local);
    const second = listen(() => {}, { ...local, port: server.port, portVariable: 'WEB_PORT' });
    await expect(second).rejects.toThrow(ListenError);
    await expect(second).rejects.toThrow(
      `port ${server.port} on 127.0.0.1 is taken by another program: set WEB_PORT`,
    );
    await expect(second).rejects.toMatchObject({ code: 'listen_failed' });
  });

  test('close lets a running request finish, then closes its kept-alive connection', async () => {
    const arrived = Promise.withResolvers<ServerResponse>();
    const server = await listen((_request, response) => arrived.resolve(response), local);
    const agent = new Agent({ keepAlive: true });
    const answer = once(get(server.url, { agent }), 'response') as Promise<[IncomingMessage]>;
    const response = await arrived.promise;
    const closed = server.close(60_000);
    await expect(fetch(server.url)).rejects.toThrow();
    response.end('finished');
    expect((await answer)[0].statusCode).toBe(200);
    (await answer)[0].resume();
    await closed;
    await server.close(0);
    agent.destroy();
  });

  test('close cuts an event stream after the grace period', async () => {
    const server = await listen((_request, response) => response.write('data: 1\n\n'), local);
    const stream = await fetch(server.url);
    await server.close(20);
    await expect(stream.text()).rejects.toThrow();
  });
});
