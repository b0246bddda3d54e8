/**
 * Parses `REDIS_URL`. Error messages never repeat the address, because it may contain a password.
 *
 *   redis://[user:password@]host[:port][/db]            one server (rediss:// with TLS)
 *   redis-sentinel://[user:password@]host[:port],host…/master-name[/db]
 *   redis-cluster://[user:password@]host[:port],host…   (rediss-sentinel://, rediss-cluster:// with TLS)
 *
 * `redis+sentinel://` and `redis+cluster://` are accepted as aliases.
 */

type RedisNode = { readonly host: string; readonly port: number };

type Login = { readonly username?: string; readonly password?: string; readonly tls: boolean };

export type RedisTarget = Login &
  (
    | { readonly kind: 'single'; readonly node: RedisNode; readonly db: number }
    | {
        readonly kind: 'sentinel';
        readonly nodes: readonly RedisNode[];
        readonly master: string;
        readonly db: number;
      }
    | { readonly kind: 'cluster'; readonly nodes: readonly RedisNode[] }
  );

type ParsedRedisUrl =
  | { readonly ok: true; readonly target: RedisTarget }
  | { readonly ok: false; readonly problem: string };

const expected =
  'must look like redis://host:6379, rediss://…, redis-sentinel://host:26379,host:26379/master or redis-cluster://host:7000,host:7001';
const pattern = /^(rediss?)([-+](?:sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^/?#@]+)(?:\/([^?#]*))?$/;

export function parseRedisUrl(url: string): ParsedRedisUrl {
  const match = pattern.exec(url.trim());
  if (!match) return { ok: false, problem: expected };
  const [, scheme, written = '', login = '', hosts = '', path = ''] = match;
  const form = written.replace('+', '-');
  const nodes = hosts.split(',').map((host) => parseNode(host.trim(), form === '-sentinel' ? 26_379 : 6379));
  const credentials = parseLogin(login);
  if (nodes.some((node) => node === undefined) || !credentials) return { ok: false, problem: expected };
  const target = { ...credentials, tls: scheme === 'rediss' };
  return combine(target, form, nodes as RedisNode[], path.split('/').filter(Boolean));
}

function combine(
  login: Login,
  form: string,
  nodes: readonly RedisNode[],
  path: readonly string[],
): ParsedRedisUrl {
  if (form === '-cluster') {
    if (path.length > 0)
      return { ok: false, problem: 'a Redis Cluster has no database number: remove the path' };
    return { ok: true, target: { ...login, kind: 'cluster', nodes } };
  }
  const [first = '', second = ''] = path;
  const db = form === '-sentinel' ? second : first;
  if (db !== '' && !/^\d{1,4}$/.test(db))
    return { ok: false, problem: 'the database in the path must be a number' };
  if (form === '-sentinel') {
    if (first === '')
      return {
        ok: false,
        problem: 'the name of the master is missing: redis-sentinel://host:26379,host:26379/master',
      };
    return {
      ok: true,
      target: { ...login, kind: 'sentinel', nodes, master: decodeURIComponent(first), db: Number(db) },
    };
  }
  const [node] = nodes;
  if (nodes.length !== 1 || !node) return { ok: false, problem: expected };
  return { ok: true, target: { ...login, kind: 'single', node, db: Number(db) } };
}

function parseNode(text: string, defaultPort: number): RedisNode | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? defaultPort);
  if (!match?.[1] || port < 1 || port > 65_535) return undefined;
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

function parseLogin(text: string): { username?: string; password?: string } | undefined {
  if (text === '') return {};
  const colon = text.indexOf(':');
  try {
    const username = decodeURIComponent(colon < 0 ? text : text.slice(0, colon));
    const password = colon < 0 ? '' : decodeURIComponent(text.slice(colon + 1));
    return { ...(username && { username }), ...(password && { password }) };
  } catch {
    return undefined; // malformed percent-encoding
  }
}
