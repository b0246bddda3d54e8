/** A valid input for each operation of Crossmark, for the contract suite. */
import type { Examples } from '../contract/examples.ts';

const place = (n: number) => ({ mPlanId: String(30_000_000 + n), locationId: String(150_000 + (n % 1_000)) });

/** A different item and day for each `n`, so that visits are distinguishable. */
function visit(n: number) {
  const day = new Date(Date.UTC(2027, 0, 4) + (n % 200) * 86_400_000).toISOString().slice(0, 10);
  return {
    repId: String(100_000 + (n % 50)),
    ...place(n),
    start: `${day}T09:00:00-05:00`,
    end: `${day}T15:30:00-05:00`,
  };
}

export const examples: Examples = {
  operations: {
    'schedule-event': visit,
    'unschedule-event': async (n, run) => {
      const { scheduleEventId } = await run('schedule-event', visit(n));
      return { scheduleEventId, ...place(n) };
    },
    'reissue-event': (n) => ({
      ...place(n),
      repId: '101234',
      expirationDate: '2027-02-01',
      comments: 'Ask Penelope Featherstone at the desk.',
    }),
    'list-planning': () => ({ startDate: '2027-01-04', endDate: '2027-01-06' }),
    'list-available-reps': () => ({ start: '2027-01-04T09:00:00-05:00', end: '2027-01-05T09:00:00-05:00' }),
    'list-qualified-reps': place,
  },
};
