/** A valid input for each operation of Walmart EDR, for the contract suite. */
import type { Examples } from '../contract/examples.ts';

export const examples: Examples = {
  signInCode: '123456',
  operations: {
    'get-report': (n) => ({ eventId: String(200_001 + n) }),
    'browse-events': () => ({ startDate: '2027-01-04', endDate: '2027-01-04', storeNumber: '8001' }),
  },
};
