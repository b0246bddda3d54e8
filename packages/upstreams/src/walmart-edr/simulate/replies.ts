/** The answers of the simulated Retail Link. See docs/upstreams/walmart-edr.md. */
import type { ExpiryStyle, SimulatedReply, SimulatedRequest } from '../../simulation/simulation.ts';

export const walmartJsonType = 'application/json';

export function jsonReply(body: unknown, more: Partial<SimulatedReply> = {}): SimulatedReply {
  const headers = { 'Content-Type': walmartJsonType, Server: 'envoy', ...more.headers };
  return { status: 200, body: JSON.stringify(body), ...more, headers };
}

export function pageReply(body: string, more: Partial<SimulatedReply> = {}): SimulatedReply {
  const headers = { 'Content-Type': 'text/html; charset=utf-8', Server: 'envoy', ...more.headers };
  return { status: 200, body, ...more, headers };
}

/** The login page. */
export function loginPage(): string {
  return '<!DOCTYPE html><html><head><title>Retail Link - Login</title></head><body><form id="login"><input name="username"><input name="password" type="password"></form></body></html>';
}

/** The answer to a request without a valid session. */
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
