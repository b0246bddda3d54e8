/**
 * The client of Parcels: one attempt of an operation, the read-back after an ambiguous write, the breaker's probe.
 *
 * Always true: `onSending` is awaited after the sign-in and before the first byte of a write; nothing is thrown for
 * what Parcels or the network did.
 */
import type { z } from 'zod';
import type { AttemptContext, Outcome, UpstreamClient, Verification } from '../contract/upstream.ts';
import { createHttp, type HttpRequest } from '../http/http.ts';
import type { FailedOutcome } from '../http/outcomes.ts';
import type { ClientOptions } from '../session/client-options.ts';
import { classify, invalidInput, type Value } from './classify.ts';
import { parcels } from './definition.ts';
import { SignedIn } from './signed-in.ts';
import { parcel, parcelList } from './wire.ts';

type Draft = Pick<HttpRequest, 'method' | 'query' | 'json'>;

/** Makes the client. Close it when done. */
export function createParcelsClient(options: ClientOptions): UpstreamClient {
  return new ParcelsClient(options);
}

class ParcelsClient implements UpstreamClient {
  readonly #http = createHttp();
  readonly #options: ClientOptions;
  readonly #session: SignedIn;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#session = new SignedIn(this.#http, options);
  }

  async run(operation: string, input: unknown, context: AttemptContext): Promise<Outcome> {
    const { operations } = parcels;
    if (operation === 'send-parcel') {
      const parsed = operations[operation].input.safeParse(input);
      return parsed.success ? this.#sendParcel(parsed.data, context) : invalidInput;
    }
    if (operation === 'find-parcel') {
      const parsed = operations[operation].input.safeParse(input);
      return parsed.success ? this.#findParcel(parsed.data, context) : invalidInput;
    }
    return invalidInput;
  }

  async verify(operation: string, input: unknown, context: AttemptContext): Promise<Verification> {
    const parsed = parcels.operations['send-parcel'].input.safeParse(input);
    if (operation !== 'send-parcel' || !parsed.success) return { kind: 'unreadable', outcome: invalidInput };
    const { reference } = parsed.data;
    const found = await this.#find(reference, context);
    if (found.kind !== 'value') return { kind: 'unreadable', outcome: found };
    const ours = found.value.parcels.find((one) => one.reference === reference);
    if (!ours) return { kind: 'absent', health: 'up' };
    return { kind: 'applied', health: 'up', result: { parcelId: ours.id, reference } };
  }

  canVerify(operation: string): boolean {
    return operation === 'send-parcel';
  }

  async probe(
    context: AttemptContext,
  ): Promise<{ verdict: 'pass' | 'fail' | 'inconclusive'; reason: string }> {
    const answer = await this.#find('PROBE', context);
    if (answer.kind === 'value' || answer.kind === 'reject') return { verdict: 'pass', reason: 'it answers' };
    const { message, health, status } = answer;
    if (status === 429) return { verdict: 'pass', reason: message };
    return { verdict: health === 'down' || status === 503 ? 'fail' : 'inconclusive', reason: message };
  }

  signInAnew(when: 'always' | 'others', signal: AbortSignal): Promise<'signed-in' | 'no' | 'later'> {
    return this.#session.signInAnew(when, signal);
  }

  signInIsDue(): Promise<boolean> {
    return this.#options.sessions.refusalIsDue();
  }

  async currentSession(): Promise<string | null> {
    return (await this.#options.sessions.refresh())?.id ?? null;
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  async #sendParcel(
    input: { readonly reference: string; readonly weightGrams: number },
    context: AttemptContext,
  ): Promise<Outcome> {
    const answer = await this.#request({ method: 'POST', json: input }, parcel, context);
    if (answer.kind !== 'value') return answer;
    const { id, reference } = answer.value;
    return { kind: 'done', health: 'up', result: { parcelId: id, reference }, status: answer.status };
  }

  async #findParcel(input: { readonly reference: string }, context: AttemptContext): Promise<Outcome> {
    const found = await this.#find(input.reference, context);
    if (found.kind !== 'value') return found;
    const parcelId = found.value.parcels[0]?.id ?? null;
    return { kind: 'done', health: 'up', result: { parcelId }, status: found.status };
  }

  #find(reference: string, context: AttemptContext) {
    return this.#request({ method: 'GET', query: { reference } }, parcelList, context);
  }

  #request<T>(
    draft: Draft,
    schema: z.ZodType<T>,
    { signal, headers, onSending, sendBy }: AttemptContext,
  ): Promise<Value<T> | FailedOutcome> {
    const write = draft.method === 'POST';
    return this.#session.run<Value<T> | FailedOutcome>(signal, async (token) => {
      if (write) await onSending();
      const exchange = await this.#http.send({
        ...draft,
        url: `${this.#options.settings.baseUrl}/parcels`,
        headers: { ...headers, authorization: `Bearer ${token}` },
        signal,
        ...(write && sendBy && { sendBy: sendBy() }),
      });
      return classify(exchange, schema, { write, nowMs: Date.now() });
    });
  }
}
