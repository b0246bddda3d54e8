/** Finds environment variables that look like ours but are unknown. Most are misspelt, and would be ignored. */
import type { Env } from '@recloser/runtime/env/env';
import { type Finding, ok, warn } from './finding.ts';

/** Prefixes that only our variables have. `HOST`, `LOG_`, `NODE_` and the like are common. */
const ownPrefixes = [
  'REDIS',
  'WEB',
  'ADMIN',
  'WORKER',
  'SIMULATOR',
  'CALLBACK',
  'KEEP',
  'READ_BACK',
  'STALE',
];
/** Variables that Kubernetes and Docker set for a service with such a name. */
const ofPlatform = /_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP)(_.+)?|NAME|PORT)$/;
const nearestEdits = 2;
const shortestName = 7;

/**
 * @param known every variable that the code reads
 * @param envPrefixes prefixes of the upstreams, such as `CROSSMARK`
 */
export function checkUnknownVariables(
  env: Env,
  known: readonly string[],
  envPrefixes: readonly string[],
): Finding[] {
  const names = new Set(known);
  const prefixes = [...ownPrefixes, ...envPrefixes].map((prefix) => `${prefix}_`);
  const unknown = Object.keys(env).flatMap((name) => {
    if (names.has(name) || (env[name] ?? '').trim() === '') return [];
    const meant = nearest(name, known);
    const isOurs = prefixes.some((prefix) => name.startsWith(prefix)) && !ofPlatform.test(name);
    if (!isOurs && !meant) return [];
    const advice = meant ? `did you mean ${meant}?` : 'unset it; .env.example lists every variable';
    return [warn('variables', `${name} is set, but nothing reads it`, advice)];
  });
  return unknown.length > 0 ? unknown : [ok('variables', 'no unknown variable is set')];
}

/** Returns the known name that is closest to this one, if it is close enough to be meant. */
function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length < shortestName) return undefined;
  const close = known
    .map((candidate) => ({ candidate, edits: editsBetween(name, candidate) }))
    .filter(({ edits }) => edits <= nearestEdits);
  return close.toSorted((a, b) => a.edits - b.edits)[0]?.candidate;
}

/** Returns the Levenshtein distance, or infinity if it is certainly above `nearestEdits`. */
function editsBetween(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > nearestEdits) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
