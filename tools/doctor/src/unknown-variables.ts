/** Finds variables that look like ours and are none: most often a misspelt name, which would be ignored in silence. */
import type { Env } from '@recloser/runtime/env/env';
import { type Finding, ok, warn } from './finding.ts';

/** Beginnings of our names that nobody else uses; `HOST`, `LOG_…`, `NODE_…` and the like are everybody's. */
const ownBeginnings = [
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
/** What Kubernetes and Docker put there by themselves for a service of such a name. */
const ofPlatform = /_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP)(_.+)?|NAME|PORT)$/;
const nearestEdits = 2;
const shortestName = 7;

/**
 * Compares the environment with the names that are read.
 * @param known every variable the code reads
 * @param envPrefixes of the upstreams, such as `CROSSMARK`
 */
export function checkUnknownVariables(
  env: Env,
  known: readonly string[],
  envPrefixes: readonly string[],
): Finding[] {
  const names = new Set(known);
  const beginnings = [...ownBeginnings, ...envPrefixes].map((beginning) => `${beginning}_`);
  const unknown = Object.keys(env).flatMap((name) => {
    if (names.has(name) || (env[name] ?? '').trim() === '') return [];
    const meant = nearest(name, known);
    const isOurs = beginnings.some((beginning) => name.startsWith(beginning)) && !ofPlatform.test(name);
    if (!isOurs && !meant) return [];
    const advice = meant ? `did you mean ${meant}?` : '.env.example names every variable; unset this one';
    return [warn('variables', `${name} is set, and nothing reads it`, advice)];
  });
  return unknown.length > 0 ? unknown : [ok('variables', 'no name that looks like ours goes unread')];
}

/** The known name that a slip of the finger makes of this one. */
function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length < shortestName) return undefined;
  const close = known
    .map((candidate) => ({ candidate, edits: editsBetween(name, candidate) }))
    .filter(({ edits }) => edits <= nearestEdits);
  return close.toSorted((a, b) => a.edits - b.edits)[0]?.candidate;
}

/** Levenshtein's distance: letters to add, drop or change. */
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
