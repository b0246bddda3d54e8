/** Combines lookups of one turn of the event loop into one round trip to Redis. */

/** Calls `ask` once per turn with the keys of all lookups. If it rejects, all lookups reject. */
export function batchPerTurn<Key, Answer>(
  ask: (keys: readonly Key[]) => Promise<readonly Answer[]>,
): (key: Key) => Promise<Answer> {
  type Asked = PromiseWithResolvers<Answer> & { readonly key: Key };
  let waiting: Asked[] = [];

  function askAll(): void {
    const asked = waiting;
    waiting = [];
    ask(asked.map(({ key }) => key)).then(
      (answers) => {
        for (const [index, { resolve }] of asked.entries()) resolve(answers[index] as Answer);
      },
      (error) => {
        for (const { reject } of asked) reject(error);
      },
    );
  }

  return (key) => {
    const one = { key, ...Promise.withResolvers<Answer>() };
    if (waiting.push(one) === 1) setImmediate(askAll);
    return one.promise;
  };
}
