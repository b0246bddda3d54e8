/** What an upstream may suffer in a storm or a soak. Always true: no fault of them lets a call fail for good. */
import { pick, type Random } from './random.ts';

/** Faults as the simulator takes them. */
export type Weather = readonly Readonly<Record<string, unknown>>[];

/** Draws the next weather; none at all is among them. */
export function nextWeather(random: Random): Weather {
  return pick<Weather>(random, [
    [],
    [{ kind: 'latency', ms: 80 }],
    [{ kind: 'status', status: 503 }],
    [{ kind: 'reset' }],
    [{ kind: 'status', status: 500, probability: 0.5 }],
    [
      { kind: 'latency', ms: 60 },
      { kind: 'capacity', limit: 4, status: 503 },
    ],
    [{ kind: 'status', status: 503, afterApply: true, probability: 0.4 }],
    [{ kind: 'reset', afterApply: true, probability: 0.4 }],
    [{ kind: 'status', status: 429, retryAfterSeconds: 1, probability: 0.2 }],
    [{ kind: 'expired', style: pick(random, ['401', '302', 'html']), times: 2 }],
  ]);
}
