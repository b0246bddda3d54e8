/**
 * The allow-list for callback URLs, `CALLBACK_HOSTS`. Only listed hosts are allowed. A listed name may resolve only to
 * public addresses, unless the address or its network is listed too. This keeps callbacks away from loopback, private
 * networks and cloud metadata services.
 */
import { BlockList, isIP } from 'node:net';

/** One listed host. */
type HostEntry = {
  /** Lower case, without brackets and without `*.`. */
  readonly host: string;
  /** Listed as `*.host`: matches every subdomain, not the host itself. */
  readonly below: boolean;
  /** Null: any. */
  readonly port: number | null;
  /** Plain `http` is allowed. */
  readonly http: boolean;
};

type Network = { readonly address: string; readonly bits: number };

/** The allow-list, parsed. */
export type CallbackHosts = {
  readonly hosts: readonly HostEntry[];
  /** Non-public networks that listed names may resolve to. */
  readonly networks: readonly Network[];
};

/** The list when `CALLBACK_HOSTS` is unset: no callbacks. */
export const noCallbackHosts: CallbackHosts = Object.freeze({ hosts: [], networks: [] });

/** Maximum length of a callback URL, in characters. */
export const callbackUrlMaxLength = 2048;

const entryPattern = /^(?:(https?):\/\/)?(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?$/;
const networkPattern = /^([0-9a-f.:]+)\/(\d{1,3})$/;

/**
 * Parses `CALLBACK_HOSTS`: entries separated by commas or spaces, each `[http://|https://]host[:port]`,
 * `*.domain`, or a network such as `10.1.0.0/16`. `problem` names the entry by its number, not its text.
 */
export function parseCallbackHosts(
  text: string,
): { ok: true; value: CallbackHosts } | { ok: false; problem: string } {
  const hosts: HostEntry[] = [];
  const networks: Network[] = [];
  const entries = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '');
  for (const [index, entry] of entries.entries()) {
    const network = parseNetwork(entry);
    const host = network ? undefined : parseHost(entry);
    if (network) networks.push(network);
    else if (host) hosts.push(host);
    else {
      return {
        ok: false,
        problem: `entry ${index + 1} must be a host, optionally with scheme and port (app.example.com, *.example.com, http://app:5000), or a network (10.1.0.0/16)`,
      };
    }
  }
  return { ok: true, value: { hosts, networks } };
}

/** Checks a callback URL. `problem` is a message for the client. */
export function checkCallbackUrl(
  { hosts }: CallbackHosts,
  text: string,
): { ok: true; url: URL } | { ok: false; problem: string } {
  const refuse = (problem: string) => ({ ok: false as const, problem });
  const url = text.length <= callbackUrlMaxLength && URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    return refuse(`Expected an https URL of at most ${callbackUrlMaxLength} characters.`);
  }
  if (url.username !== '' || url.password !== '')
    return refuse('A callback URL must not contain a user name or password.');
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const listed = hosts.filter((entry) => isListed(entry, hostOf(url), port));
  if (listed.length === 0) return refuse('This host is not allowed. CALLBACK_HOSTS lists the allowed hosts.');
  if (url.protocol === 'http:' && !listed.some(({ http }) => http))
    return refuse('This host is allowed only with https.');
  return { ok: true, url };
}

/** The host of a URL without brackets and trailing dot. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/** True if a connection to the listed `host` may use `address`, an IP address that it resolved to. */
export function isAllowedAddress({ networks }: CallbackHosts, host: string, address: string): boolean {
  if (isIP(host) !== 0) return host === address;
  if (host === 'localhost' && contains([loopback4, loopback6], address)) return true;
  return isPublic(address) || contains(networks, address);
}

function isListed({ host, below, port }: HostEntry, wanted: string, wantedPort: number): boolean {
  if (port !== null && port !== wantedPort) return false;
  return below ? wanted.endsWith(`.${host}`) : wanted === host;
}

function parseHost(entry: string): HostEntry | undefined {
  const [, scheme, star, name = '', port] = entryPattern.exec(entry) ?? [];
  if (name === '' || (port !== undefined && !(Number(port) >= 1 && Number(port) <= 65_535))) return undefined;
  // URL parsing normalizes addresses: `127.1` becomes 127.0.0.1.
  if (!URL.canParse(`http://${name}`)) return undefined;
  const host = hostOf(new URL(`http://${name}`));
  if (star !== undefined && (isIP(host) !== 0 || !host.includes('.'))) return undefined;
  const local = host === 'localhost' || (isIP(host) !== 0 && contains([loopback4, loopback6], host));
  return {
    host,
    below: star !== undefined,
    port: port === undefined ? null : Number(port),
    // Traffic to this machine does not cross a network.
    http: scheme === 'http' || (scheme === undefined && local),
  };
}

function parseNetwork(entry: string): Network | undefined {
  const [, address = '', bits = ''] = networkPattern.exec(entry) ?? [];
  const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return Number(bits) <= longest && bits !== '' ? { address, bits: Number(bits) } : undefined;
}

const loopback4: Network = { address: '127.0.0.0', bits: 8 };
const loopback6: Network = { address: '::1', bits: 128 };

/** The IPv4 networks that are not public, from the IANA special-purpose address registry. */
const special4: readonly Network[] = [
  { address: '0.0.0.0', bits: 8 },
  { address: '10.0.0.0', bits: 8 },
  { address: '100.64.0.0', bits: 10 },
  loopback4,
  { address: '169.254.0.0', bits: 16 },
  { address: '172.16.0.0', bits: 12 },
  { address: '192.0.0.0', bits: 24 },
  { address: '192.0.2.0', bits: 24 },
  { address: '192.88.99.0', bits: 24 },
  { address: '192.168.0.0', bits: 16 },
  { address: '198.18.0.0', bits: 15 },
  { address: '198.51.100.0', bits: 24 },
  { address: '203.0.113.0', bits: 24 },
  { address: '224.0.0.0', bits: 3 },
];

/** Contains all public IPv6 addresses, but no embedded IPv4 addresses (`::ffff:`, `64:ff9b::`). */
const public6: Network = { address: '2000::', bits: 3 };
/** The networks in `public6` that are not public: Teredo and other protocol assignments, documentation, 6to4. */
const special6: readonly Network[] = [
  { address: '2001::', bits: 23 },
  { address: '2001:db8::', bits: 32 },
  { address: '2002::', bits: 16 },
  { address: '3fff::', bits: 20 },
];

function isPublic(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !contains(special4, address);
    case 6:
      return contains([public6], address) && !contains(special6, address);
    default:
      return false;
  }
}

function contains(networks: readonly Network[], address: string): boolean {
  const family = familyOf(address);
  if (family === undefined) return false;
  const list = new BlockList();
  for (const network of networks) {
    // Same family only: BlockList matches `::ffff:10.0.0.1` against 10.0.0.1.
    if (familyOf(network.address) === family) list.addSubnet(network.address, network.bits, family);
  }
  return list.check(address, family);
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  return ({ 4: 'ipv4', 6: 'ipv6' } as const)[isIP(address) as 4 | 6];
}
