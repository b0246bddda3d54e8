/**
 * What processing a call needs, handed in by `create-workers`. Faces, not classes: a test can put a scripted
 * client in, and the straight line sees only what it uses.
 */

import type { CallReturnValue, Envelope, HistoryEntry } from '@recloser/calls/call/envelope';
import type { Need } from '@recloser/calls/call/need';
import type { LateAnswer } from '@recloser/calls/write/late-answers';
import type { Logger } from '@recloser/runtime/observe/logger';
import type { Span, Tracing } from '@recloser/runtime/observe/tracing';
import type { Sealer } from '@recloser/runtime/secrets/seal';
import type { Health, OperationDefinition, UpstreamClient } from '@recloser/upstreams/contract/upstream';
import type { Job } from 'bullmq';
import type { StopSwitch } from '../queue/stop-switch.ts';
import type { Timings } from '../queue/timings.ts';
import type { SuspectGate } from './suspect-gate.ts';
import type { GiveBackReason, WorkerMetrics } from './worker-metrics.ts';

/** A call as BullMQ hands it over. Its data is not trusted before `processCall` parsed it. */
export type CallJob = Job<Envelope, CallReturnValue>;

/** Leave to make one attempt, as the breaker gives it. */
export type Permit = { readonly generation: number; readonly trial: boolean; readonly proven: boolean };

/** What the breaker says to a call. */
export type Admission<P extends Permit = Permit> =
  | { readonly kind: 'go'; readonly permit: P }
  | { readonly kind: 'wait'; readonly reason: string };

/** What this app needs of `UpstreamBreaker`. */
export type Breaker<P extends Permit = Permit> = {
  /** `timeoutMs`: the attempt's own time limit. */
  admit(callId: string, timeoutMs: number): Promise<Admission<P>>;
  /**
   * Runs one attempt under its permit; the attempt's `health` feeds the breaker. `local`: a fault of this machine,
   * which counts against this worker only.
   */
  run<T extends { readonly health: Health; readonly code?: string; readonly local?: boolean }>(
    permit: P,
    attempt: () => Promise<T>,
  ): Promise<T>;
  readonly holds: {
    set(hold: {
      kind: 'rate-limit' | 'sign-in';
      owner: string;
      reason: string;
      forMs?: number | null;
    }): Promise<unknown>;
    release(kind: 'sign-in', by: { owner: string; reason: string }): Promise<unknown>;
  };
};

export type WorkContext<P extends Permit = Permit> = {
  readonly upstream: string;
  readonly workerId: string;
  /** The definition's operations with this installation's settings applied. */
  readonly operations: Readonly<Record<string, OperationDefinition>>;
  readonly client: UpstreamClient;
  readonly breaker: Breaker<P>;
  readonly sealer: Sealer;
  /** Whether the queue is paused now, as BullMQ sees it. */
  readonly isQueuePaused: () => Promise<boolean>;
  /** The work list of calls that a person must settle. */
  readonly inDoubt: {
    add(callId: string, atMs: number): Promise<unknown>;
    remove(callId: string): Promise<unknown>;
  };
  /** Which call was credited with what a write made upstream; see `OperationDefinition.makes`. */
  readonly claims: {
    /** False: another kept call holds it. */
    claim(id: string, callId: string): Promise<boolean>;
    credit(id: string, callId: string): Promise<unknown>;
  };
  /** Told of calls that this worker cannot make. */
  readonly leftCalls: { note(need: Need, callId: string): void };
  /** Stores a job's data and extends its lock; false when another worker has it. */
  readonly storeUnderLock: (job: CallJob, token: string, data: Envelope) => Promise<boolean>;
  /** Whether enough replicas have the job's data with this text in it. Never rejects. */
  readonly confirmWritten: (callId: string, includes: string) => Promise<boolean>;
  /** Keeps what was learned of a call that this worker had lost meanwhile, as evidence for a person. */
  readonly noteLateAnswer: (answer: LateAnswer) => Promise<unknown>;
  readonly metrics: WorkerMetrics;
  readonly tracing: Tracing;
  readonly log: Logger;
  readonly stop: StopSwitch;
  readonly suspectGate: SuspectGate;
  readonly timings: Timings;
};

/** A call that was read and understood and can be worked on. */
export type Call = {
  readonly job: CallJob;
  readonly id: string;
  /** Proves that this worker holds the call's lock. */
  readonly token: string;
  readonly envelope: Envelope;
  readonly operation: OperationDefinition;
  /** Workers lost in a row while they had it, with nothing learned in between. */
  readonly lostWorkers: number;
  /** The operation's input with its sealed fields opened. Never logged, never stored. */
  readonly input: unknown;
  /** Aborted when the lock is lost: another worker has the call, or will. */
  readonly signal: AbortSignal;
  /** The span of this turn. */
  readonly turn: Span;
};

/**
 * What shall become of a call now. `settle-call` carries it out.
 * - `succeeded`: finished with this result; `entry` is the attempt that showed it.
 * - `charge`: the attempt is charged; again after the backoff, or failed if it was the last.
 * - `give-back`: nothing is charged. `held`: next in line once the queue runs again. `now`: somebody else may
 *   take it at once. A number: milliseconds from now, behind those that wait.
 * - `leave`: this worker cannot understand it: back unspent, for a few seconds, to whoever can. `envelope` null: what
 *   is stored stays as it is.
 * - `final`: finished without success.
 */
export type Judgement =
  | { readonly kind: 'succeeded'; readonly result: unknown; readonly entry: HistoryEntry }
  | { readonly kind: 'charge'; readonly envelope: Envelope; readonly reason: Reason }
  | {
      readonly kind: 'give-back';
      readonly envelope: Envelope;
      readonly when: 'held' | 'now' | number;
      /** Short and from a fixed set: it is a metric's label. */
      readonly why: GiveBackReason;
      readonly hold?: {
        readonly kind: 'rate-limit' | 'sign-in';
        readonly reason: string;
        readonly forMs: number | null;
        /** Of a `sign-in` hold: the session that was found to be over. */
        readonly session?: string;
      };
    }
  | { readonly kind: 'leave'; readonly envelope: Envelope | null }
  | { readonly kind: 'final'; readonly envelope: Envelope; readonly settled: Settled };

export type Reason = { readonly code: string; readonly message: string; readonly status?: number };

export type Settled = NonNullable<Envelope['settled']>;
