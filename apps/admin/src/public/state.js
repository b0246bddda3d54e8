/** The state of an upstream as one word, one kind (which picks colour and shape) and a few words more. Pure. */

const words = { closed: 'closed', open: 'open', half_open: 'half-open' };

/** `kind`: closed, open, forced, half-open, stale. `word` is never colour alone. */
export function stateOf(upstream, isStale) {
  const { breaker, evidence, holds } = upstream;
  if (isStale) return { kind: 'stale', word: `stale (was ${words[breaker.state]})` };
  if (breaker.state === 'half_open') {
    const word = evidence.probing
      ? 'half-open, probing'
      : `ramping, ${breaker.permits} of ${evidence.permitsTarget}`;
    return { kind: 'half-open', word };
  }
  const isForced = holds.some(({ kind, owner }) => kind === 'breaker' && owner === 'operator');
  if (breaker.state === 'open' && isForced) return { kind: 'forced', word: 'open, forced' };
  return { kind: breaker.state, word: words[breaker.state] };
}

/** A breaker's state in a word. */
export function stateWord(state) {
  return words[state] ?? state;
}

/** The breaker's hold and others keep calls back; these are the others. */
export function otherHolds({ holds }) {
  return holds.filter(({ kind }) => kind !== 'breaker');
}

/** Where the next change comes from, as a time; null when nobody knows. */
export function nextChangeAt({ breaker, holds }) {
  if (breaker.state === 'open') return breaker.retryAt;
  const ends = holds.flatMap(({ until }) => (until === null ? [] : [until]));
  return ends.length === holds.length && ends.length > 0 ? ends.sort().at(-1) : null;
}
