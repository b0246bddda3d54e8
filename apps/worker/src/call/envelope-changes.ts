/** The changes that a worker makes to a call's envelope. Pure: each returns a new envelope. */
import { appendHistory, type Envelope, type HistoryEntry } from '@recloser/calls/call/envelope';

/** The result of one attempt in the history. `message` contains no secret. */
export type Shown = {
  readonly outcome: string;
  readonly code?: string;
  readonly message?: string;
  readonly status?: number;
};

export function historyEntry(
  { workerId }: { readonly workerId: string },
  { at, durationMs }: { readonly at: string; readonly durationMs: number },
  { outcome, code, message, status }: Shown,
): HistoryEntry {
  return {
    at,
    durationMs,
    outcome,
    status: status ?? null,
    code: code ?? null,
    message: message ?? null,
    worker: workerId,
  };
}

export function remember(envelope: Envelope, entry: HistoryEntry): Envelope {
  return { ...envelope, history: appendHistory(envelope.history, entry) };
}

/**
 * The envelope after a definite outcome, without the sending mark. `doubted` stays: the upstream may still apply an
 * earlier request.
 */
export function unmarked(envelope: Envelope): Envelope {
  const { sending: _sending, readBack: _readBack, ...rest } = envelope;
  return rest as Envelope;
}

export function isExpired({ options }: Envelope, nowMs: number = Date.now()): boolean {
  return options.expiresAt !== undefined && Date.parse(options.expiresAt) <= nowMs;
}
