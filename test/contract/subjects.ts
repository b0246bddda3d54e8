/** The upstreams in the registry, with what the suite needs to list its tests. */
import type { Fault } from '@recloser/simulator/faults';
import type { OperationDefinition, UpstreamDefinition } from '@recloser/upstreams/contract/upstream';
import { type UpstreamName, upstreamNames } from '@recloser/upstreams/definitions';
import type { SimulatedRequest } from '@recloser/upstreams/simulation/simulation';
import { Rig } from './rig.ts';

export type Subject = {
  readonly name: UpstreamName;
  readonly definition: UpstreamDefinition;
  readonly operations: readonly OperationDefinition[];
  /** A read operation for any test. */
  readonly reading: OperationDefinition;
  readonly writes: readonly OperationDefinition[];
  /** The writes that the client can read back. */
  readonly provable: readonly OperationDefinition[];
  readonly byPassword: boolean;
  readonly hasProbe: boolean;
  /** Whether it shows a login page instead of an answer. */
  readonly hasLoginPage: boolean;
  /** The kinds of fault that the simulator supports. */
  readonly faultKinds: readonly string[];
  /** Whether the simulation supports the fault. */
  canHave(fault: Fault): boolean;
};

const withoutSession: SimulatedRequest = {
  method: 'GET',
  path: '/',
  query: new URLSearchParams(),
  headers: {},
  cookies: new Map(),
  bodyKind: 'none',
  fields: {},
  json: undefined,
  loginUrl: 'http://login.test',
};

export const subjects: readonly Subject[] = await Promise.all(upstreamNames.map(examine));

async function examine(name: UpstreamName): Promise<Subject> {
  await using rig = await Rig.start(name);
  const { definition, upstream, worker } = rig;
  const operations = Object.values(definition.operations);
  const writes = operations.filter(({ effect }) => effect !== 'read');
  return {
    name,
    definition,
    operations,
    reading: rig.reading,
    writes,
    provable: writes.filter((operation) => worker.client.canVerify(operation.name)),
    byPassword: definition.signIn === 'password',
    hasProbe: worker.client.probe !== undefined,
    hasLoginPage: upstream.simulation.endSession(withoutSession, 'html').status === 200,
    faultKinds: upstream.faultSchema.options.map((option) => option.shape.kind.value),
    canHave: (fault) => upstream.faultSchema.safeParse(fault).success,
  };
}
