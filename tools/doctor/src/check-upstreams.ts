/**
 * Checks that this machine can reach each upstream, with one GET of its base URL by the workers' HTTP client. Sends no
 * credentials and no cookies. Any answer, even 401 or 404, proves DNS, connection and certificate.
 */
import { createHttp, type Exchange } from '@recloser/upstreams/http/http';
import { type Finding, fail, ok, warn } from './finding.ts';

/** `what` is the name of the variable that holds the URL. */
export type UpstreamAddress = { readonly upstream: string; readonly what: string; readonly url: string };

const timeoutMs = 8_000;

/** Returns one finding per address. */
export async function checkUpstreams(addresses: readonly UpstreamAddress[]): Promise<Finding[]> {
  const http = createHttp({ maxBodyBytes: 1024 * 1024 });
  try {
    return await Promise.all(
      addresses.map(async (address) => {
        const startedAt = performance.now();
        const signal = AbortSignal.timeout(timeoutMs);
        const exchange = await http.send({ method: 'GET', url: `${address.url}/`, signal });
        return judge(address, exchange, Math.round(performance.now() - startedAt));
      }),
    );
  } finally {
    http.close();
  }
}

function judge({ upstream, what, url }: UpstreamAddress, exchange: Exchange, tookMs: number): Finding {
  const { host, protocol } = new URL(url);
  if (exchange.kind === 'answer') {
    const found = `${host} answers ${exchange.status} over ${protocol.slice(0, -1)} in ${tookMs} ms (${what})`;
    if (exchange.status < 500) return ok(upstream, found);
    return warn(upstream, found, 'the upstream is failing; calls wait and are sent when it recovers');
  }
  const found = `${host} (${what}): ${explain(exchange.code)} (${exchange.code})`;
  return fail(upstream, found, `${adviceFor(exchange.code)}, or correct ${what}`);
}

function kindOf(code: string): 'name' | 'refused' | 'silent' | 'certificate' | 'other' {
  if (/ENOTFOUND|EAI_/.test(code)) return 'name';
  if (/ECONNREFUSED/.test(code)) return 'refused';
  if (/TIMEDOUT|UNREACH/.test(code)) return 'silent';
  if (/CERT|SIGNED|ALTNAME|SSL|TLS|EPROTO/.test(code)) return 'certificate';
  return 'other';
}

function explain(code: string): string {
  return {
    name: 'host name not found',
    refused: 'connection refused',
    silent: `no answer within ${timeoutMs / 1000} s`,
    certificate: 'no trusted TLS connection',
    other: 'connection failed',
  }[kindOf(code)];
}

function adviceFor(code: string): string {
  return {
    name: "check this machine's DNS",
    refused: 'check whether it is running, and whether a firewall blocks it',
    silent: 'check whether a firewall or proxy drops the connection',
    certificate: "check its certificate, this machine's clock and NODE_EXTRA_CA_CERTS",
    other: 'run the doctor again; if this persists, check what lies between this machine and the upstream',
  }[kindOf(code)];
}
