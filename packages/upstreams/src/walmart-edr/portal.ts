/**
 * Addresses of Walmart EDR, and page visits that follow redirects. A visit follows at most 10 redirects, and only
 * within the upstream's own domain, so that no cookie leaves it.
 */
import { type CookieJar, getPublicSuffix } from 'tough-cookie';
import type { UpstreamSettings } from '../contract/settings.ts';
import type { Answer, Exchange, Http } from '../http/http.ts';
import { tokenFromCookies } from './session.ts';
import type { AppToken } from './wire.ts';

const maxHops = 10;
const redirects = new Set([301, 302, 303, 307, 308]);

export function addresses({ baseUrl, loginBaseUrl }: Pick<UpstreamSettings, 'baseUrl' | 'loginBaseUrl'>) {
  return {
    loginPage: `${loginBaseUrl}/login`,
    login: `${loginBaseUrl}/api/login`,
    sendCode: `${loginBaseUrl}/api/mfa/sendCode`,
    validateCode: `${loginBaseUrl}/api/mfa/validateCode`,
    pageDetails: `${baseUrl}/rl_portal_services/api/Site/InsertRlPageDetails`,
    portal: `${baseUrl}/rl_portal/`,
    app: `${baseUrl}/EventManagement/`,
    authenticate: `${baseUrl}/EventManagement/api/authenticate`,
    report: `${baseUrl}/EventManagement/api/edrReport`,
    browse: `${baseUrl}/EventManagement/api/browse-event/browse-data`,
    referer: `${baseUrl}/EventManagement/browse-event`,
  };
}

export type Visitor = {
  readonly http: Http;
  readonly settings: Pick<UpstreamSettings, 'baseUrl' | 'loginBaseUrl'>;
  readonly cookies: CookieJar;
  readonly signal: AbortSignal;
};

/** The last exchange of a visit, and the app token if an answer on the way set it as a cookie. */
export type Visit = { readonly exchange: Exchange; readonly token: AppToken | null };

/** GETs a page and follows redirects. */
export async function visit(
  visitor: Visitor,
  page: { url: string; query?: Record<string, string>; headers?: Record<string, string> },
): Promise<Visit> {
  const { http, cookies, signal } = visitor;
  let request = page;
  let token: AppToken | null = null;
  for (let hop = 0; ; hop += 1) {
    const exchange = await http.send({ method: 'GET', ...request, cookies, signal });
    if (exchange.kind !== 'answer') return { exchange, token };
    token = tokenFromCookies(exchange) ?? token;
    const next = hop < maxHops ? nextHop(exchange, request.url, visitor) : null;
    if (next === null) return { exchange, token };
    // The target has its own query.
    request = { url: next, ...(page.headers && { headers: page.headers }) };
  }
}

function nextHop({ status, location }: Answer, from: string, { settings }: Visitor): string | null {
  if (!redirects.has(status) || location === undefined) return null;
  const target = URL.parse(location, from);
  if (!target || !isOurs(target, settings)) return null;
  target.hash = '';
  target.username = '';
  target.password = '';
  return target.href;
}

function isOurs(target: URL, { baseUrl, loginBaseUrl }: Visitor['settings']): boolean {
  return [baseUrl, loginBaseUrl].some((known) => {
    const url = new URL(known);
    if (target.protocol !== url.protocol) return false;
    if (target.host === url.host) return true;
    const domain = domainOf(url.hostname);
    return domain !== undefined && domain === domainOf(target.hostname);
  });
}

/** The registrable domain (`wal-mart.com`); undefined for an IP address or a bare host name. */
function domainOf(hostname: string): string | undefined {
  return getPublicSuffix(hostname, { allowSpecialUseDomain: false, ignoreError: true });
}

/** Headers of every call to the app. See docs/upstreams/walmart-edr.md, "Sign-in". */
export function appHeaders(
  settings: Pick<UpstreamSettings, 'baseUrl' | 'loginBaseUrl'>,
): Record<string, string> {
  return { accept: 'application/json', referer: addresses(settings).referer };
}
