/** Prism, a validating proxy, between a client and the API. It reports violations of the OpenAPI document. */
import { getHttpOperationsFromSpec } from '@stoplight/prism-http';
import { createServer } from '@stoplight/prism-http-server';
import { pino } from 'pino';
import { openApi } from './openapi-check.ts';

export type ValidatingProxy = {
  readonly url: string;
  /** All violations so far, including those of deliberately invalid requests. */
  readonly violations: readonly string[];
  /** The violations in answers. */
  readonly answerViolations: readonly string[];
  [Symbol.asyncDispose](): Promise<void>;
};

/** @param upstream the address of the API */
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
