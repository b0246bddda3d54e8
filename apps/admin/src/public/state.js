/** The state of an upstream as a word and a kind, which selects colour and shape. */

const words = { closed: 'closed', open: 'open', half_open: 'half-open' };

/** `kind` is closed, open, forced, half-open or stale. */
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

/** A breaker's state as a word. */
export function stateWord(state) {
  return words[state] ?? state;
}

/** Every hold except the breaker's. */
export function otherHolds({ holds }) {
  return holds.filter(({ kind }) => kind !== 'breaker');
}

/** When the next trial starts or the last hold ends; null when unknown. */
export function nextChangeAt({ breaker, holds }) {
  if (breaker.state === 'open') return breaker.retryAt;
  const ends = holds.flatMap(({ until }) => (until === null ? [] : [until]));
  return ends.length === holds.length && ends.length > 0 ? ends.sort().at(-1) : null;
}
