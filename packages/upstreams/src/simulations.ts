/** The registry of simulated upstreams. Only the simulator and tests load it. */
import { createCrossmarkSimulation } from './crossmark/simulate.ts';
import type { UpstreamName } from './definitions.ts';
import type { Simulation, SimulationOptions } from './simulation/simulation.ts';
import { createWalmartEdrSimulation } from './walmart-edr/simulate.ts';

export const simulations: Readonly<Record<UpstreamName, (options: SimulationOptions) => Simulation>> = {
  crossmark: createCrossmarkSimulation,
  'walmart-edr': createWalmartEdrSimulation,
};
