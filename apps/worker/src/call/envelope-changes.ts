/** The changes a worker makes to what is stored of a call. Pure: each gives a new envelope. */
import { appendHistory, type Envelope, type HistoryEntry } from '@recloser/calls/call/envelope';

/** What one attempt showed, as the history keeps it. `message` carries no secret. */
export type Shown = {
  readonly outcome: string;
  readonly code?: string;
  readonly message?: string;
  readonly status?: number;
};

/** One attempt as a history entry. `at` is ISO 8601. */
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

/** The envelope with one more attempt in its history. */
export function remember(envelope: Envelope, entry: HistoryEntry): Envelope {
  return { ...envelope, history: appendHistory(envelope.history, entry) };
}

/**
 * The envelope after a definite outcome: nothing is under way any more. That it was in doubt once (`doubted`) stays:
 * what the upstream does late may still come.
 */
export function unmarked(envelope: Envelope): Envelope {
  const { sending: _sending, readBack: _readBack, ...rest } = envelope;
  return rest as Envelope;
}

/** True when the call asked not to be made any more by now. */
export function isExpired({ options }: Envelope, nowMs: number = Date.now()): boolean {
  return options.expiresAt !== undefined && Date.parse(options.expiresAt) <= nowMs;
}
