/** A public validating proxy (Prism) between a client and the API: notes whatever does not fit the document. */
import { getHttpOperationsFromSpec } from '@stoplight/prism-http';
import { createServer } from '@stoplight/prism-http-server';
import { pino } from 'pino';
import { openApi } from './openapi-check.ts';

export type ValidatingProxy = {
  readonly url: string;
  /** What did not fit so far; requests that are wrong on purpose are among it. */
  readonly violations: readonly string[];
  /** Those of them that answers are to blame for. */
  readonly answerViolations: readonly string[];
  [Symbol.asyncDispose](): Promise<void>;
};

/** Starts a proxy to the API at `upstream`. */
export async function startValidatingProxy(upstream: string): Promise<ValidatingProxy> {
  const violations: string[] = [];
  const note = { write: (line: string) => void violations.push(JSON.parse(line).msg) };
  const logger = pino({ level: 'warn' }, note);
  const operations = await getHttpOperationsFromSpec(JSON.parse(JSON.stringify(openApi)));
  const proxy = createServer(operations, {
    cors: false,
    components: { logger },
    config: {
      isProxy: true,
      upstream: new URL(upstream),
      upstreamProxy: undefined,
      checkSecurity: false,
      validateRequest: true,
      validateResponse: true,
      errors: false,
      mock: { dynamic: false },
    },
  });
  const url = await proxy.listen(0, '127.0.0.1');
  return {
    url,
    violations,
    get answerViolations() {
      return violations.filter((violation) => violation.startsWith('Violation: response'));
    },
    [Symbol.asyncDispose]: () => proxy.close(),
  };
}
