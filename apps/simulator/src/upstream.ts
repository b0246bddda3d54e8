/** One simulated upstream: its state, fault plan, ledger and session locks. */
import type { SimulatedRoute, Simulation } from '@recloser/upstreams/simulation/simulation';
import { FaultPlan, faultSchema } from './faults.ts';
import { Ledger } from './ledger.ts';

export class Upstream {
  readonly name: string;
  readonly simulation: Simulation;
  readonly faults = new FaultPlan();
  readonly ledger = new Ledger();
  readonly faultSchema: ReturnType<typeof faultSchema>;
  readonly now: () => number;
  #routes: ReadonlyMap<string, SimulatedRoute>;
  #ended = new AbortController();
  readonly #sessionTails = new Map<string, Promise<void>>();

  constructor(name: string, simulation: Simulation, now: () => number) {
    this.name = name;
    this.simulation = simulation;
    this.now = now;
    this.#routes = new Map(
      simulation.routes.map((route) => [routeKey(route.mount, route.method, route.path), route]),
    );
    const operations = [...new Set(simulation.routes.map((route) => route.operation))];
    this.faultSchema = faultSchema(operations, simulation.refusal !== null);
  }

  /** Aborted by the next reset or stop. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  route(mount: SimulatedRoute['mount'], method: string, path: string): SimulatedRoute | undefined {
    return this.#routes.get(routeKey(mount, method, path));
  }

  /** Ends every request that hangs or waits. */
  interrupt(): void {
    this.#ended.abort();
    this.#ended = new AbortController();
  }

  /**
   * Deletes faults, ledger, visits and sessions. Keeps the settings. Ends pending requests, so that none of them appears
   * in the new ledger.
   */
  reset(): void {
    this.interrupt();
    this.faults.replace([]);
    this.ledger.reset();
    this.simulation.reset();
  }

  /** Waits for the earlier requests of a session. The returned function admits the next one. */
  async lockSession(key: string): Promise<() => void> {
    const before = this.#sessionTails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#sessionTails.set(key, promise);
    await before;
    return () => {
      if (this.#sessionTails.get(key) === promise) this.#sessionTails.delete(key);
      resolve();
    };
  }
}

function routeKey(mount: string, method: string, path: string): string {
  return `${mount} ${method} ${path}`;
}
