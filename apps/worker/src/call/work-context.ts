/** What processing a call needs. `UpstreamWorker` creates it. */
import type { UpstreamBreaker } from '@recloser/breaker/upstream-breaker';
import type { CallReturnValue, Envelope, HistoryEntry } from '@recloser/calls/call/envelope';
import type { Need } from '@recloser/calls/call/need';
import type { LateAnswer } from '@recloser/calls/write/late-answers';
import type { Log } from '@recloser/runtime/observe/log';
import type { Span, Tracing } from '@recloser/runtime/observe/tracing';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { OperationDefinition, UpstreamClient } from '@recloser/upstreams/contract/upstream';
import type { Job } from 'bullmq';
import type { StopSwitch } from '../queue/stop-switch.ts';
import type { Timings } from '../queue/timings.ts';
import type { SuspectGate } from './suspect-gate.ts';
import type { GiveBackReason, WorkerMetrics } from './worker-metrics.ts';

/** A call as BullMQ delivers it. Its data is untrusted until `readCall` has parsed it. */
export type CallJob = Job<Envelope, CallReturnValue>;

export type WorkContext = {
  readonly upstream: string;
  readonly workerId: string;
  /** The definition's operations with this installation's settings applied. */
  readonly operations: Readonly<Record<string, OperationDefinition>>;
  readonly client: UpstreamClient;
  readonly breaker: Pick<UpstreamBreaker, 'admit' | 'run' | 'holds'>;
  readonly sealer: Sealer;
  readonly isQueuePaused: () => Promise<boolean>;
  /** The calls that a person must settle. */
  readonly inDoubt: {
    add(callId: string, atMs: number): Promise<unknown>;
    remove(callId: string): Promise<unknown>;
  };
  /** Which call was credited with the id that a write created. See `OperationDefinition.makes`. */
  readonly claims: {
    /** Returns false if another kept call holds the id. */
    claim(id: string, callId: string): Promise<boolean>;
    credit(id: string, callId: string): Promise<unknown>;
  };
  /** Records calls that this worker cannot make. */
  readonly leftCalls: { note(need: Need, callId: string): void };
  /** Stores a job's data and extends its lock. Returns false if this worker no longer holds the lock. */
  readonly storeUnderLock: (job: CallJob, token: string, data: Envelope) => Promise<boolean>;
  /** Whether enough replicas have the job's data with this text in it. Never rejects. */
  readonly confirmWritten: (callId: string, includes: string) => Promise<boolean>;
  /** Stores the answer to an attempt whose call this worker no longer holds, for a person to see. */
  readonly noteLateAnswer: (answer: LateAnswer) => Promise<unknown>;
  readonly metrics: WorkerMetrics;
  readonly tracing: Tracing;
  readonly log: Log<'info' | 'warn' | 'error'>;
  readonly stop: StopSwitch;
  readonly suspectGate: SuspectGate;
  readonly timings: Timings;
};

/** A call that `readCall` has parsed and that this worker can make. */
export type Call = {
  readonly job: CallJob;
  readonly id: string;
  /** Proves that this worker holds the call's lock. */
  readonly token: string;
  readonly envelope: Envelope;
  readonly operation: OperationDefinition;
  /** Workers lost in a row while they held the call, with no progress stored in between. */
  readonly lostWorkers: number;
  /** The operation's input, decrypted. Never logged, never stored. */
  readonly input: unknown;
  /** Aborted when the lock is lost: another worker has the call, or will have it. */
  readonly signal: AbortSignal;
  /** The span of this turn. */
  readonly turn: Span;
};

/**
 * What happens to a call next. `settleCall` carries it out.
 * - `succeeded`: the call finishes with this result. `entry` is the attempt that proved it.
 * - `charge`: the attempt is charged. The call is retried after its backoff, or fails if this was the last attempt.
 * - `give-back`: no attempt is charged. `held`: next in line when the queue resumes. `now`: another worker may take it
 *   at once. A number: delayed by that many milliseconds.
 * - `leave`: this worker cannot make the call. It is delayed for a few seconds so that another worker can take it. With
 *   `envelope` null the stored data stays unchanged.
 * - `final`: the call finishes without success.
 */
export type Judgement =
  | { readonly kind: 'succeeded'; readonly result: unknown; readonly entry: HistoryEntry }
  | { readonly kind: 'charge'; readonly envelope: Envelope; readonly reason: Reason }
  | {
      readonly kind: 'give-back';
      readonly envelope: Envelope;
      readonly when: 'held' | 'now' | number;
      /** A metric label. */
      readonly why: GiveBackReason;
      readonly hold?: {
        readonly kind: 'rate-limit' | 'sign-in';
        readonly reason: string;
        readonly forMs: number | null;
        /** For a `sign-in` hold: the session that has expired. */
        readonly session?: string;
      };
    }
  | { readonly kind: 'leave'; readonly envelope: Envelope | null }
  | { readonly kind: 'final'; readonly envelope: Envelope; readonly settled: Settled };

export type Reason = { readonly code: string; readonly message: string; readonly status?: number };

export type Settled = NonNullable<Envelope['settled']>;
