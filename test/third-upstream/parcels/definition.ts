/** What the rest of Recloser knows of Parcels without loading its client: operations, limits, breaker. */
import { z } from 'zod';
import type { RetryPolicy, UpstreamDefinition } from '../contract/upstream.ts';

const retry: RetryPolicy = { maxAttempts: 8, baseMs: 1_000, factor: 2, capMs: 300_000 };

const reference = z.string().regex(/^[A-Z0-9-]{1,40}$/, 'must be 1 to 40 of A-Z, 0-9 and -');

/** Parcels: an imagined carrier, here to prove docs/add-an-upstream.md. */
export const parcels = {
  name: 'parcels',
  title: 'Parcels',
  envPrefix: 'PARCELS',
  breaker: { failMax: 3, resetMs: 60_000, failPercent: 50 },
  signIn: 'password',
  operations: {
    'send-parcel': {
      name: 'send-parcel',
      summary: 'Hands a parcel over to the carrier.',
      // The carrier takes the same reference twice.
      effect: 'unsafe',
      input: z.strictObject({ reference, weightGrams: z.int().min(1).max(30_000) }),
      result: z.strictObject({ parcelId: z.string(), reference: z.string() }),
      timeoutMs: 10_000,
      retry,
    },
    'find-parcel': {
      name: 'find-parcel',
      summary: 'The parcel with a reference, if there is one.',
      effect: 'read',
      input: z.strictObject({ reference }),
      result: z.strictObject({ parcelId: z.string().nullable() }),
      timeoutMs: 10_000,
      retry,
    },
  },
} as const satisfies UpstreamDefinition;
