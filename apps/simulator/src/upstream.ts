/**
 * One simulated upstream with everything around it: its state, fault plan, ledger and session locks.
 *
 * Always true: `reset` also ends what is still hanging or about to commit late, so that nothing from before
 * shows up in the fresh ledger.
 */
import type { SimulatedRoute, Simulation } from '@recloser/upstreams/simulation/simulation';
import { FaultPlan, faultSchema } from './faults.ts';
import { Ledger } from './ledger.ts';

/** A mounted upstream. */
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

  /** Ends everything that hangs or waits. */
  interrupt(): void {
    this.#ended.abort();
    this.#ended = new AbortController();
  }

  /** Forgets faults, ledger, visits and sessions; keeps the settings. */
  reset(): void {
    this.interrupt();
    this.faults.replace([]);
    this.ledger.reset();
    this.simulation.reset();
  }

  /** Waits for the earlier requests of a session; the returned function lets the next one in. */
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
