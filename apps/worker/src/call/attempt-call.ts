/**
 * Makes one attempt for a call, under the breaker: the call itself or a read-back.
 *
 * Always true: an unsafe operation's *sending* mark is stored, under this worker's lock, before the first byte
 * leaves; an attempt that the worker itself cut short says nothing about the upstream's health; nothing here
 * judges the answer.
 */
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
import type { Call, Permit, WorkContext } from './work-context.ts';

/** What an attempt came to. */
export type AttemptResult<Answer> =
  /** `envelope` carries the sending mark if one was stored. */
  | {
      readonly kind: 'answered';
      readonly answer: Answer;
      readonly envelope: Envelope;
      readonly at: string;
      readonly durationMs: number;
    }
  /** Cut short because the worker stops or lost the lock. */
  | { readonly kind: 'cut'; readonly envelope: Envelope }
  /** Our own code failed. `begun`: the client had started, something may have been sent. */
  | {
      readonly kind: 'broken';
      readonly error: unknown;
      readonly begun: boolean;
      readonly envelope: Envelope;
      readonly at: string;
      readonly durationMs: number;
    };

type Run<Answer> = (context: AttemptContext) => Promise<Answer>;

/** One attempt. Never throws; what went wrong is in the value. */
export function attemptCall<P extends Permit>(
  context: WorkContext<P>,
  call: Call,
  permit: P,
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

/** One read-back of an ambiguous write. Never throws. */
export function verifyCall<P extends Permit>(
  context: WorkContext<P>,
  call: Call,
  permit: P,
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

/** Time limit of a read-back, in ms: it may have to sign in and to read several pages. */
export function verifyTimeoutMs({ timeoutMs }: Pick<OperationDefinition, 'timeoutMs'>): number {
  return 3 * timeoutMs;
}

type AttemptKind<Answer> = {
  readonly run: Run<Answer>;
  readonly timeoutMs: number;
  /** Whether this answer counts although the attempt was being cut short. */
  readonly standsWhenCut: (answer: Answer) => boolean;
  /** Whether it is certain that the upstream did nothing: the mark may go. */
  readonly provesNothingDone: (answer: Answer) => boolean;
  /** What the answer shows the breaker. */
  readonly shows: (answer: Answer) => {
    readonly health: Health;
    readonly code?: string;
    readonly status?: number;
    /** Null: a fault of this machine. */
    readonly hold?: unknown;
  };
  /** Put before the outcome in the metrics. */
  readonly label: string;
};

async function makeAttempt<P extends Permit, Answer extends { readonly kind: string }>(
  context: WorkContext<P>,
  call: Call,
  permit: P,
  kind: AttemptKind<Answer>,
): Promise<AttemptResult<Answer>> {
  const startedMs = Date.now();
  const at = new Date(startedMs).toISOString();
  const ends = AbortSignal.any([context.stop.signal, call.signal]);
  const span = traceAttempt(context, call, { permit, label: kind.label });
  const mark = new SendingMark(context, call, ends, kind.timeoutMs, span.headers);
  let begun = false;
  // Without what telling the breaker takes.
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
      'an attempt broke on our side',
    );
    return { kind: 'broken', error, begun, envelope: mark.envelope, at, durationMs: Date.now() - startedMs };
  }
}

function about(call: Call, { generation, trial }: Permit) {
  return { callId: call.id, operation: call.operation.name, generation, trial };
}

/** What the client is given, and the envelope as it stands once the client has used it. */
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
    // Repeating an idempotent operation needs no proof; where there is one to be had, it is better than a repeat.
    const needed = operation.effect === 'unsafe' || context.client.canVerify(operation.name);
    this.attempt = {
      signal,
      headers: { ...trace, 'x-request-id': envelope.requestId },
      onSending: async () => {
        // Too late to begin: the mark would outlive an attempt that never was.
        ends.throwIfAborted();
        if (!needed) return;
        const sending = { at: new Date().toISOString(), worker: context.workerId };
        const marked = { ...this.#envelope, sending };
        const askedAt = performance.now();
        await save(context, call, marked);
        // A master that dies would take the mark along, and the write would be made twice.
        if (!(await context.confirmWritten(call.id, JSON.stringify(sending)))) throw new ReplicasBehind();
        this.#sendBy = askedAt + context.timings.lockMs;
        // Redis took so long that the attempt is over: nothing is sent, and what is stored next has no mark.
        signal.throwIfAborted();
        this.#envelope = marked;
      },
      claim: (id) => context.claims.claim(id, call.id),
      // A worker that is frozen after the mark wakes up in the middle of sending, when the call may be another's.
      sendBy: () => this.#sendBy,
    };
  }

  get envelope(): Envelope {
    return this.#envelope;
  }
}
