/** The answers of the simulated Crossmark. See docs/upstreams/crossmark.md, "Transport" and "Session". */
import type { ExpiryStyle, SimulatedReply, SimulatedRequest } from '../../simulation/simulation.ts';

/** The content type of every answer, JSON included. */
export const crossmarkContentType = 'text/html; charset="utf-8"';

const commonHeaders = {
  'Content-Type': crossmarkContentType,
  'Cache-Control': 'no-store, no-cache, must-revalidate',
  Pragma: 'no-cache',
  Expires: 'Thu, 19 Nov 1981 08:52:00 GMT',
  Vary: 'Accept-Encoding',
  Server: 'Apache',
  'x-include-css': '',
  'x-include-js': '',
};

export function jsonReply(body: unknown, more: Partial<SimulatedReply> = {}): SimulatedReply {
  return { status: 200, body: JSON.stringify(body), ...more, headers: { ...commonHeaders, ...more.headers } };
}

export function pageReply(body: string, more: Partial<SimulatedReply> = {}): SimulatedReply {
  return { status: 200, body, ...more, headers: { ...commonHeaders, ...more.headers } };
}

/** A refusal with HTTP 200 and `ok: 0`. */
export function notOk(message: string): SimulatedReply {
  return jsonReply({ ok: 0, message });
}

/** The sign-in page. It must not contain "Scheduling", which marks a successful sign-in. */
export function loginPage(notice = ''): string {
  return (
    '<!DOCTYPE html><html><head><title>Sign in</title></head><body>' +
    `${notice}<form method="post" action="/login/authenticate">` +
    '<input name="UserID"><input name="Password" type="password"><button>Sign in</button></form></body></html>'
  );
}

/** The answer to a request without a valid session. */
export function signedOut(style: ExpiryStyle, request: SimulatedRequest): SimulatedReply {
  switch (style) {
    case '401':
      return jsonReply({ error: 'authentication required' }, { status: 401 });
    case '403':
      return pageReply('<html><head><title>403 Forbidden</title></head><body>Forbidden</body></html>', {
        status: 403,
      });
    case '302':
      return pageReply('', { status: 302, headers: { Location: `${request.loginUrl}/login` } });
    case 'html':
      return pageReply(loginPage());
  }
}
