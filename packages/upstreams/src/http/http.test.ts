import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { testCertificate, testKey } from '../../test-kit/test-certificate.ts';
import { cookieState, createHttp, type Http, newCookies, parseCookies, serializeCookies } from './http.ts';

const cleanups: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(
  listener: RequestListener,
  scheme: 'http' | 'https' = 'http',
): Promise<{ url: string; server: Server }> {
  const server =
    scheme === 'http'
      ? createServer(listener)
      : createTlsServer({ key: testKey, cert: testCertificate }, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

function trustTestCertificate(): void {
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, testCertificate]);
  cleanups.push(() => setDefaultCACertificates(before));
}

function http(maxBodyBytes?: number): Http {
  const made = createHttp(maxBodyBytes === undefined ? {} : { maxBodyBytes });
  cleanups.push(() => made.close());
  return made;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

/** Never aborts. Only the test's own timeout applies. */
const patient = () => new AbortController().signal;
/** The reason that `AbortSignal.timeout` gives. */
const timeIsUp = () => new DOMException('The time is up.', 'TimeoutError');

describe('a request with a latest time to send', () => {
  it('is not sent after that time, on a new or an open connection', async () => {
    let requests = 0;
    const { url } = await serve((_request, response) => {
      requests += 1;
      response.end('ok');
    });
    const client = http();
    const write = { method: 'POST', url, form: { a: '1' } } as const;
    const late = { kind: 'not_sent', code: 'ERR_TOO_LATE' };
    const passed = () => performance.now() - 1;
    expect(await client.send({ ...write, signal: patient(), sendBy: passed() })).toMatchObject(late);
    const inTime = { ...write, signal: patient(), sendBy: performance.now() + 3_600_000 };
    expect(await client.send(inTime)).toMatchObject({ kind: 'answer', body: 'ok' });
    expect(await client.send({ ...write, signal: patient(), sendBy: passed() })).toMatchObject(late);
    expect(requests).toBe(1);
  });
});

describe('createHttp', () => {
  it('returns answers of any status, decompressed, without following redirects', async () => {
    let requests = 0;
    const { url } = await serve((_request, response) => {
      requests += 1;
      response.writeHead(302, {
        location: '/login?x=1',
        'content-type': 'TEXT/HTML',
        'content-encoding': 'gzip',
      });
      response.end(gzipSync('<p>moved</p>'));
    });
    const exchange = await http().send({ method: 'GET', url, signal: patient() });
    expect(exchange).toMatchObject({
      kind: 'answer',
      status: 302,
      location: '/login?x=1',
      contentType: 'text/html',
      body: '<p>moved</p>',
    });
    expect(requests).toBe(1);
  });

  it('does not repeat a failed request', async () => {
    let requests = 0;
    const { url } = await serve((_request, response) => {
      requests += 1;
      response.writeHead(503).end();
    });
    expect(await http().send({ method: 'GET', url, signal: patient() })).toMatchObject({
      status: 503,
      body: '',
    });
    expect(requests).toBe(1);
  });

  it('sends forms, JSON and multipart as a browser does, each with its length', async () => {
    const seen: {
      type: string | undefined;
      length: string | undefined;
      agent: string | undefined;
      body: string;
    }[] = [];
    const { url } = await serve(async (request, response) => {
      const { 'content-type': type, 'content-length': length, 'user-agent': agent } = request.headers;
      seen.push({ type, length, agent, body: await bodyOf(request) });
      response.end('ok');
    });
    const client = http();
    await client.send({ method: 'POST', url, form: { a: '1+2:00 é', b: '' }, signal: patient() });
    await client.send({ method: 'POST', url, json: { a: 1 }, signal: patient() });
    await client.send({ method: 'POST', url, multipart: { project: 'x,y' }, signal: patient() });
    expect(seen[0]).toMatchObject({
      type: 'application/x-www-form-urlencoded',
      body: 'a=1%2B2%3A00+%C3%A9&b=',
    });
    expect(seen[1]).toMatchObject({ type: 'application/json', body: '{"a":1}' });
    expect(seen[2]?.type).toMatch(/^multipart\/form-data; ?boundary=/);
    expect(seen[2]?.body).toMatch(/name="project"\r\n\r\nx,y\r\n/);
    for (const { length, body, agent } of seen) {
      expect(length).toBe(String(Buffer.byteLength(body)));
      expect(agent).toMatch(/^Recloser\/0\.1/);
    }
  });

  it('keeps cookies in the jar, and restores the jar from text', async () => {
    const sent: (string | undefined)[] = [];
    const { url } = await serve((request, response) => {
      sent.push(request.headers.cookie);
      response.setHeader('set-cookie', [
        'PHPSESSID=abc; path=/; HttpOnly',
        'broken=1; domain=elsewhere.test',
      ]);
      response.end();
    });
    const cookies = newCookies();
    const before = cookieState(cookies);
    await http().send({ method: 'GET', url, cookies, signal: patient() });
    expect(cookieState(cookies)).not.toBe(before);
    const restored = parseCookies(serializeCookies(cookies));
    expect(cookieState(restored)).toBe(cookieState(cookies));
    await http().send({ method: 'GET', url: `${url}/deep/path`, cookies: restored, signal: patient() });
    expect(cookieState(restored)).toBe(cookieState(cookies));
    expect(sent).toEqual([undefined, 'PHPSESSID=abc']);
  });

  it('drops a body that is larger than the limit', async () => {
    const { url } = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.end('x'.repeat(200_000));
    });
    const exchange = await http(50_000).send({ method: 'GET', url, signal: patient() });
    expect(exchange).toMatchObject({ kind: 'answer', status: 200, body: '', bodyLost: 'too_large' });
  });
});

describe('what may have been sent', () => {
  it('is not_sent for a refused connection', async () => {
    const { url, server } = await serve(() => {});
    await new Promise((resolve) => server.close(resolve));
    const exchange = await http().send({ method: 'POST', url: `${url}/a?secret=1`, signal: patient() });
    expect(exchange).toEqual({
      kind: 'not_sent',
      code: 'ECONNREFUSED',
      message: 'No connection was made (ECONNREFUSED).',
    });
  });

  it('is not_sent for a name that does not resolve', async () => {
    // A label of 64 letters is invalid, so the resolver refuses it without a network request.
    const url = `http://${'x'.repeat(64)}.invalid/`;
    expect((await http().send({ method: 'GET', url, signal: patient() })).kind).toBe('not_sent');
  });

  it('is not_sent if the TLS handshake fails or never ends', async () => {
    const server = createTcpServer((socket) => {
      socket.once('data', () => socket.destroy());
    });
    const hung = new AbortController();
    const silent = createTcpServer((socket) => {
      socket.once('data', () => hung.abort(timeIsUp()));
    });
    const ports: number[] = [];
    for (const each of [server, silent]) {
      await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
      cleanups.push(() => void each.close());
      ports.push((each.address() as AddressInfo).port);
    }
    const [closing, hanging] = ports.map((port) => `https://127.0.0.1:${port}/`);
    expect((await http().send({ method: 'POST', url: closing ?? '', signal: patient() })).kind).toBe(
      'not_sent',
    );
    const { signal } = hung;
    expect(await http().send({ method: 'POST', url: hanging ?? '', signal })).toMatchObject({
      kind: 'not_sent',
      code: 'ETIMEDOUT',
    });
  });

  it('is not_sent if the signal is already aborted', async () => {
    const { url } = await serve((_request, response) => response.end());
    expect(await http().send({ method: 'POST', url, signal: AbortSignal.abort() })).toMatchObject({
      kind: 'not_sent',
      code: 'ERR_ABORTED',
    });
  });

  it('is no_answer for a reset after the request was read', async () => {
    const { url } = await serve((request) => void request.socket.destroy());
    const exchange = await http().send({ method: 'POST', url, form: { a: '1' }, signal: patient() });
    expect(exchange).toMatchObject({ kind: 'no_answer', cause: 'reset' });
  });

  it.each([
    ['http', (socket: Socket) => socket.resetAndDestroy()],
    // Node cannot reset a TLS socket.
    ['https', (socket: Socket) => socket.destroy()],
  ] as const)('says no_answer when a reused keep-alive connection breaks (%s)', async (scheme, breakOff) => {
    trustTestCertificate();
    const connections: Socket[] = [];
    const { url } = await serve(({ socket }, response) => {
      connections.push(socket);
      if (connections.length === 1) response.end('first');
      else breakOff(socket);
    }, scheme);
    const client = http();
    expect(await client.send({ method: 'GET', url, signal: patient() })).toMatchObject({ body: 'first' });
    expect(await client.send({ method: 'POST', url, form: { a: '1' }, signal: patient() })).toMatchObject({
      kind: 'no_answer',
      cause: 'reset',
      code: 'ECONNRESET',
    });
    expect(connections).toHaveLength(2);
    expect(connections[1]).toBe(connections[0]);
  });

  it('keeps status and headers of an answer whose body is lost', async () => {
    const answers: [string, RequestListener][] = [
      [
        'reset',
        (request, response) => {
          response.writeHead(429, { 'retry-after': '7', 'content-length': '100' });
          response.write('half', () => request.socket.destroy());
        },
      ],
      [
        'reset',
        (_request, response) => {
          response.writeHead(429, { 'retry-after': '7', 'content-encoding': 'gzip' }).end('slow down');
        },
      ],
      [
        'timeout',
        (_request, response) => {
          response.writeHead(429, { 'retry-after': '7', 'content-length': '100' });
          response.write('half');
        },
      ],
    ];
    for (const [bodyLost, listener] of answers) {
      const { url } = await serve(listener);
      const signal = bodyLost === 'timeout' ? AbortSignal.timeout(500) : patient();
      expect(await http().send({ method: 'POST', url, form: { a: '1' }, signal })).toMatchObject({
        kind: 'answer',
        status: 429,
        headers: { 'retry-after': '7' },
        body: '',
        bodyLost,
      });
    }
  });

  it('distinguishes a timeout from an abort by the caller', async () => {
    const abortedWith = async (reason?: Error) => {
      const controller = new AbortController();
      const { url } = await serve(() => controller.abort(reason));
      return await http().send({ method: 'POST', url, signal: controller.signal });
    };
    expect(await abortedWith(timeIsUp())).toMatchObject({
      kind: 'no_answer',
      cause: 'timeout',
      code: 'ETIMEDOUT',
    });
    expect(await abortedWith()).toMatchObject({ kind: 'no_answer', cause: 'aborted', code: 'ERR_ABORTED' });
  });
});
