/**
 * The registry of simulated upstreams, for apps/simulator and the tests only.
 *
 * Always true: every upstream in the registry of definitions has one, under the same name.
 */
import { createCrossmarkSimulation } from './crossmark/simulate.ts';
import type { UpstreamName } from './definitions.ts';
import type { Simulation, SimulationOptions } from './simulation/simulation.ts';
import { createWalmartEdrSimulation } from './walmart-edr/simulate.ts';

/** Makes a fresh simulation of each upstream; nothing is shared between two calls. */
export const simulations: Readonly<Record<UpstreamName, (options: SimulationOptions) => Simulation>> = {
  crossmark: createCrossmarkSimulation,
  'walmart-edr': createWalmartEdrSimulation,
};
