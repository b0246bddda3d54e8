/** Random faults of an upstream, for storms and soaks. No fault makes a call fail permanently. */
import { pick, type Random } from './random.ts';

export type Weather = readonly Readonly<Record<string, unknown>>[];

/** Draws the next faults, possibly none. */
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
    // Pages of an ingress or a maintenance server, in answer to calls and sign-ins.
    [{ kind: 'html', status: pick(random, [200, 403, 404, 405]), probability: 0.6 }],
    [{ kind: 'html', status: pick(random, [200, 403, 404]), operation: 'login', times: 2 }],
    [{ kind: 'html', status: 403, afterApply: true, probability: 0.3 }],
    [{ kind: 'truncate', abort: true, afterApply: true, probability: 0.3 }],
  ]);
}
