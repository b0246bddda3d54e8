/**
 * How the simulated Retail Link words its answers (upstreams.md, B).
 *
 * Always true: JSON really is `application/json`; every answer of the app hosts also rotates a cookie.
 */
import type { ExpiryStyle, SimulatedReply, SimulatedRequest } from '../../simulation/simulation.ts';

/** The content type of every JSON answer. */
export const walmartJsonType = 'application/json';

/** A JSON answer. */
export function jsonReply(body: unknown, more: Partial<SimulatedReply> = {}): SimulatedReply {
  const headers = { 'Content-Type': walmartJsonType, Server: 'envoy', ...more.headers };
  return { status: 200, body: JSON.stringify(body), ...more, headers };
}

/** An HTML page. */
export function pageReply(body: string, more: Partial<SimulatedReply> = {}): SimulatedReply {
  const headers = { 'Content-Type': 'text/html; charset=utf-8', Server: 'envoy', ...more.headers };
  return { status: 200, body, ...more, headers };
}

/** The page that asks for user and password. */
export function loginPage(): string {
  return '<!DOCTYPE html><html><head><title>Retail Link - Login</title></head><body><form id="login"><input name="username"><input name="password" type="password"></form></body></html>';
}

/** The answer to a request without a living session. */
export function signedOut(style: ExpiryStyle, request: SimulatedRequest): SimulatedReply {
  switch (style) {
    case '401':
      return jsonReply({ status: 401, message: 'Unauthorized' }, { status: 401 });
    case '403':
      return jsonReply({ status: 403, message: 'Forbidden' }, { status: 403 });
    case '302':
      return pageReply('', { status: 302, headers: { Location: `${request.loginUrl}/login` } });
    case 'html':
      return pageReply(loginPage());
  }
}
