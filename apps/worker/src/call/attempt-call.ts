/**
 * Makes one attempt for a call, or one read-back, under the breaker. `judgeAttempt` and `readBack` judge the answer.
 *
 * The *sending* mark of an unsafe operation is stored, under this worker's lock, before the first byte is sent.
 * An attempt that the worker aborted says nothing about the upstream's health.
 */
import type { Permit } from '@recloser/breaker/upstream-breaker';
import type { Envelope } from '@recloser/calls/call/envelope';
import type { TraceHeaders } from '@recloser/runtime/observe/tracing';
import type { Health } from '@recloser/runtime/values/health';
import type {
  AttemptContext,
  OperationDefinition,
  Outcome,
  Verification,
} from '@recloser/upstreams/contract/upstream';
import { unmarked } from './envelope-changes.ts';
import { ReplicasBehind } from './redis-trouble.ts';
import { save } from './settle-call.ts';
import { endAttempt, traceAttempt } from './trace-call.ts';
import type { Call, WorkContext } from './work-context.ts';

export type AttemptResult<Answer> =
  /** `envelope` carries the sending mark if one was stored. */
  | {
      readonly kind: 'answered';
      readonly answer: Answer;
      readonly envelope: Envelope;
      readonly at: string;
      readonly durationMs: number;
    }
  /** Aborted because the worker is stopping or lost the lock. */
  | { readonly kind: 'cut'; readonly envelope: Envelope }
  /** Our own code failed. `begun`: the client had started, so the request may have been sent. */
  | {
      readonly kind: 'broken';
      readonly error: unknown;
      readonly begun: boolean;
      readonly envelope: Envelope;
      readonly at: string;
      readonly durationMs: number;
    };

type Run<Answer> = (context: AttemptContext) => Promise<Answer>;

/** Makes one attempt. Never throws. */
export function attemptCall(
  context: WorkContext,
  call: Call,
  permit: Permit,
): Promise<AttemptResult<Outcome>> {
  const run: Run<Outcome> = (attempt) => context.client.run(call.operation.name, call.input, attempt);
  return makeAttempt(context, call, permit, {
    run,
    timeoutMs: call.operation.timeoutMs,
    standsWhenCut: ({ kind }) => kind !== 'retry' && kind !== 'in_doubt',
    provesNothingDone: ({ kind }) => kind === 'retry',
    shows: (outcome) => outcome,
    label: '',
  });
}

/** Makes one read-back of an ambiguous write. Never throws. */
export function verifyCall(
  context: WorkContext,
  call: Call,
  permit: Permit,
): Promise<AttemptResult<Verification>> {
  const run: Run<Verification> = (attempt) => context.client.verify(call.operation.name, call.input, attempt);
  return makeAttempt(context, call, permit, {
    run,
    timeoutMs: verifyTimeoutMs(call.operation),
    standsWhenCut: ({ kind }) => kind !== 'unreadable',
    provesNothingDone: () => false,
    shows: (verification) => (verification.kind === 'unreadable' ? verification.outcome : verification),
    label: 'verify-',
  });
}

/** Timeout of a read-back, in ms. A read-back may sign in and read several pages. */
export function verifyTimeoutMs({ timeoutMs }: Pick<OperationDefinition, 'timeoutMs'>): number {
  return 3 * timeoutMs;
}

type AttemptKind<Answer> = {
  readonly run: Run<Answer>;
  readonly timeoutMs: number;
  /** Whether this answer counts although the attempt was aborted. */
  readonly standsWhenCut: (answer: Answer) => boolean;
  /** Whether the upstream certainly did nothing, so that the mark can be removed. */
  readonly provesNothingDone: (answer: Answer) => boolean;
  /** What is reported to the breaker. */
  readonly shows: (answer: Answer) => {
    readonly health: Health;
    readonly code?: string;
    readonly status?: number;
    /** Null: a fault of this machine. */
    readonly hold?: unknown;
  };
  /** Prefix of the outcome in metrics and logs. */
  readonly label: string;
};

async function makeAttempt<Answer extends { readonly kind: string }>(
  context: WorkContext,
  call: Call,
  permit: Permit,
  kind: AttemptKind<Answer>,
): Promise<AttemptResult<Answer>> {
  const startedMs = Date.now();
  const at = new Date(startedMs).toISOString();
  const ends = AbortSignal.any([context.stop.signal, call.signal]);
  const span = traceAttempt(context, call, { permit, label: kind.label });
  const mark = new SendingMark(context, call, ends, kind.timeoutMs, span.headers);
  let begun = false;
  // Excludes the report to the breaker.
  let durationMs = 0;
  try {
    const { answer, cut } = await context.breaker.run(permit, async () => {
      begun = true;
      const answer = await kind.run(mark.attempt);
      durationMs = Date.now() - startedMs;
      const cut = ends.aborted && !kind.standsWhenCut(answer);
      const { health, code, hold } = kind.shows(answer);
      const local = hold === null;
      return { answer, cut, health: cut ? ('unknown' as const) : health, local, ...(code && { code }) };
    });
    const shown = cut ? 'cut' : kind.label + answer.kind;
    context.metrics.attempt(call.operation.name, shown, durationMs);
    if (permit.trial) context.metrics.trial(shown);
    const { status, code: reason, health } = kind.shows(answer);
    endAttempt(span, { outcome: shown, health, code: reason, status });
    context.log.info(
      { ...about(call, permit), ...span.ids, outcome: shown, reason, status, durationMs },
      'attempt',
    );
    const { envelope } = mark;
    if (!cut) return { kind: 'answered', answer, envelope, at, durationMs };
    return { kind: 'cut', envelope: kind.provesNothingDone(answer) ? unmarked(envelope) : envelope };
  } catch (error) {
    endAttempt(span, { outcome: ends.aborted ? 'cut' : 'broken', health: 'unknown', code: 'worker_error' });
    if (ends.aborted) return { kind: 'cut', envelope: mark.envelope };
    context.log.warn(
      { ...about(call, permit), ...span.ids, begun, err: error },
      'an attempt failed with an internal error',
    );
    return { kind: 'broken', error, begun, envelope: mark.envelope, at, durationMs: Date.now() - startedMs };
  }
}

function about(call: Call, { generation, trial }: Permit) {
  return { callId: call.id, operation: call.operation.name, generation, trial };
}

/** The client's view of an attempt, and the envelope with the mark that the client may have stored. */
class SendingMark {
  readonly attempt: AttemptContext;
  #envelope: Envelope;
  #sendBy = Number.POSITIVE_INFINITY;

  constructor(
    context: WorkContext,
    call: Call,
    ends: AbortSignal,
    timeoutMs: number,
    trace: TraceHeaders | undefined,
  ) {
    const { envelope, operation } = call;
    this.#envelope = envelope;
    const signal = AbortSignal.any([ends, AbortSignal.timeout(timeoutMs)]);
    // An idempotent operation can be repeated without proof. If a read-back can prove it, that is better.
    const needed = operation.effect === 'unsafe' || context.client.canVerify(operation.name);
    this.attempt = {
      signal,
      headers: { ...trace, 'x-request-id': envelope.requestId },
      onSending: async () => {
        // Already aborted: a mark stored now would belong to an attempt that was never sent.
        ends.throwIfAborted();
        if (!needed) return;
        const sending = { at: new Date().toISOString(), worker: context.workerId };
        const marked = { ...this.#envelope, sending };
        const askedAt = performance.now();
        await save(context, call, marked);
        // If the master died without a replica having the mark, the write would be sent twice.
        if (!(await context.confirmWritten(call.id, JSON.stringify(sending)))) throw new ReplicasBehind();
        this.#sendBy = askedAt + context.timings.lockMs;
        // Redis took longer than the timeout: nothing is sent, and the next envelope is stored without the mark.
        signal.throwIfAborted();
        this.#envelope = marked;
      },
      claim: (id) => context.claims.claim(id, call.id),
      // A worker that freezes after storing the mark resumes while sending, when another worker may have the call.
      sendBy: () => this.#sendBy,
    };
  }

  get envelope(): Envelope {
    return this.#envelope;
  }
}
