/** An input that works for each operation of Parcels, for the contract suite. */
import type { Examples } from '../contract/examples.ts';

/** Found by the suite under this name. */
export const examples: Examples = {
  operations: {
    'send-parcel': (n) => ({ reference: `P-${n}`, weightGrams: 500 }),
    'find-parcel': (n) => ({ reference: `P-${n}` }),
  },
};
