/**
 * A minimal upstream for both sides that costs little time: it accepts every sign-in and every visit, and has two reps.
 * `GET /seen` returns the times of the calls that it answered. `DELETE /seen` clears them.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

const html = 'text/html; charset="utf-8"';
const reps = JSON.stringify({
  reps: [
    { ID: '100001', FirstName: 'Ada', LastName: 'Example', Timezone: 'America/New_York' },
    { ID: '100002', FirstName: 'Ben', LastName: 'Example', Timezone: 'America/Chicago' },
  ],
});
let seen: number[] = [];
let visits = 0;

const server = createServer((request, response) => {
  const path = request.url ?? '';
  if (path.startsWith('/planningextcontroller/scheduleMplanEvent')) {
    readForm(request, (form) => {
      seen.push(Date.now());
      visits += 1;
      const ids = {
        RepID: form.get('RepID'),
        mPlanID: form.get('mPlanID'),
        LocationID: form.get('LocationID'),
      };
      answer(response, JSON.stringify({ ok: 1, MVScheduledEvent: { ID: visits, ...ids } }));
    });
  } else if (path.startsWith('/planningextcontroller/getQualifiedRepsForScheduling')) {
    seen.push(Date.now());
    answer(response, reps);
  } else if (path === '/seen') {
    if (request.method === 'DELETE') seen = [];
    answer(response, JSON.stringify(seen));
  } else if (path === '/login/authenticate') {
    request.resume();
    const cookie = ['PHPSESSID=stand-in; path=/'];
    response.writeHead(200, { 'content-type': html, 'set-cookie': cookie });
    response.end('{"success":true,"redirectUrl":"/scheduling"}');
  } else {
    request.resume();
    answer(response, '{"ok":1,"mplans":[],"total":0}');
  }
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));

function readForm(request: IncomingMessage, then: (form: URLSearchParams) => void): void {
  let text = '';
  request.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  request.on('end', () => then(new URLSearchParams(text)));
}

function answer(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': html, 'content-length': Buffer.byteLength(body) }).end(body);
}
