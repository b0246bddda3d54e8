/**
 * Where results may be pushed: the allow-list `CALLBACK_HOSTS`, and which addresses a listed name may lead to.
 *
 * Always true: nothing is allowed that is not listed; a name never leads to an address of this machine, of a
 * private network or of a cloud's metadata service unless that very address or network is listed. Pure.
 */
import { BlockList, isIP } from 'node:net';

/** One listed host. */
type HostEntry = {
  /** Lower case, without brackets and without `*.`. */
  readonly host: string;
  /** Listed as `*.host`: every name below it, not the name itself. */
  readonly below: boolean;
  /** Null: any. */
  readonly port: number | null;
  /** Plain `http` may be used. */
  readonly http: boolean;
};

type Network = { readonly address: string; readonly bits: number };

/** The allow-list, parsed. */
export type CallbackHosts = {
  readonly hosts: readonly HostEntry[];
  /** Networks that are not public and that listed names may lead to all the same. */
  readonly networks: readonly Network[];
};

/** The list when `CALLBACK_HOSTS` is unset: no callbacks. */
export const noCallbackHosts: CallbackHosts = Object.freeze({ hosts: [], networks: [] });

/** Longest address, in characters. */
export const callbackUrlMaxLength = 2048;

const entryPattern = /^(?:(https?):\/\/)?(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?$/;
const networkPattern = /^([0-9a-f.:]+)\/(\d{1,3})$/;

/**
 * Parses `CALLBACK_HOSTS`: entries separated by commas or spaces, each `[http://|https://]host[:port]`,
 * `*.domain`, or a network as `10.1.0.0/16`. The problem names the entry by its number, not its text.
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
        problem: `entry ${index + 1} must be a host with scheme and port if you like (app.example.com, *.example.com, http://app:5000) or a network (10.1.0.0/16)`,
      };
    }
  }
  return { ok: true, value: { hosts, networks } };
}

/** Judges the address a caller gave. `problem` is a sentence for that caller. */
export function checkCallbackUrl(
  { hosts }: CallbackHosts,
  text: string,
): { ok: true; url: URL } | { ok: false; problem: string } {
  const refuse = (problem: string) => ({ ok: false as const, problem });
  const url = text.length <= callbackUrlMaxLength && URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    return refuse(`Expected an https address of at most ${callbackUrlMaxLength} characters.`);
  }
  if (url.username !== '' || url.password !== '')
    return refuse('An address with a user name or password is not taken.');
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const listed = hosts.filter((entry) => isListed(entry, hostOf(url), port));
  if (listed.length === 0) return refuse('This host is not allowed; CALLBACK_HOSTS lists those that are.');
  if (url.protocol === 'http:' && !listed.some(({ http }) => http))
    return refuse('This host is allowed with https only.');
  return { ok: true, url };
}

/** The host of an address as the list has it: no brackets, no dot at the end. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/** Whether a connection for `host`, a listed one, may go to `address`, an IP address it resolved to. */
export function isAllowedAddress({ networks }: CallbackHosts, host: string, address: string): boolean {
  // Listed by its address: that is what was allowed.
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
  // As a URL would write it: `127.1` is 127.0.0.1.
  if (!URL.canParse(`http://${name}`)) return undefined;
  const host = hostOf(new URL(`http://${name}`));
  if (star !== undefined && (isIP(host) !== 0 || !host.includes('.'))) return undefined;
  const local = host === 'localhost' || (isIP(host) !== 0 && contains([loopback4, loopback6], host));
  return {
    host,
    below: star !== undefined,
    port: port === undefined ? null : Number(port),
    // What is sent to this machine itself crosses no network.
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

/** IANA's special-purpose registries: what of IPv4 is not the public internet. */
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

/** All of IPv6 that is public lies in here; IPv4 in other clothes (`::ffff:`, `64:ff9b::`) does not. */
const public6: Network = { address: '2000::', bits: 3 };
/** Of that: Teredo and other protocol assignments, documentation, 6to4 (which wraps any IPv4 address). */
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
    // Never across families: the list would take `::ffff:10.0.0.1` for 10.0.0.1.
    if (familyOf(network.address) === family) list.addSubnet(network.address, network.bits, family);
  }
  return list.check(address, family);
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  return ({ 4: 'ipv4', 6: 'ipv6' } as const)[isIP(address) as 4 | 6];
}
