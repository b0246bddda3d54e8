/**
 * Can each upstream be reached from this machine? One GET of its base address, by the workers' own HTTP client.
 *
 * Always true: it never signs in and sends neither credentials nor cookies; any answer at all, also 401 or 404, proves
 * name, connection and certificate.
 */
import { createHttp, type Exchange } from '@recloser/upstreams/http/http';
import { type Finding, fail, ok, warn } from './finding.ts';

/** An address to try. */
export type UpstreamAddress = { readonly upstream: string; readonly what: string; readonly url: string };

const timeoutMs = 8_000;

/** One line per address, tried all at once. */
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
    return warn(upstream, found, 'the upstream itself is in trouble; calls wait and go out when it is back');
  }
  const found = `${host} (${what}): ${explain(exchange.code)} (${exchange.code})`;
  return fail(upstream, found, `${adviceFor(exchange.code)}, or mend ${what}`);
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
    name: 'its name is not known',
    refused: 'nobody listens there',
    silent: `no answer within ${timeoutMs / 1000} s`,
    certificate: 'no trusted TLS connection',
    other: 'the connection broke',
  }[kindOf(code)];
}

function adviceFor(code: string): string {
  return {
    name: "look at this machine's DNS",
    refused: 'look whether it is up, and whether a firewall refuses',
    silent: 'look whether a firewall or proxy swallows the connection',
    certificate: "look at its certificate, at this machine's clock and at NODE_EXTRA_CA_CERTS",
    other: 'try again; if it stays, something between here and there ends connections',
  }[kindOf(code)];
}
