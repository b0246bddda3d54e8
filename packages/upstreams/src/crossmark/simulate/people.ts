/** The fictional reps of the Crossmark simulation. */

/** One rep. `id` is the RepID of 5 or 6 digits. */
export type SimulatedRep = { readonly id: string; readonly firstName: string; readonly lastName: string };

export const roster: readonly SimulatedRep[] = [
  { id: '151201', firstName: 'Ada', lastName: 'Alder' },
  { id: '151202', firstName: 'Bruno', lastName: 'Birch' },
  { id: '151203', firstName: 'Cleo', lastName: 'Cedar' },
  { id: '151204', firstName: 'Dario', lastName: 'Dogwood' },
  { id: '151205', firstName: 'Enid', lastName: 'Elm' },
  { id: '151206', firstName: 'Felix', lastName: 'Fir' },
  { id: '151207', firstName: 'Greta', lastName: 'Ginkgo' },
  { id: '151208', firstName: 'Hugo', lastName: 'Hazel' },
  { id: '151209', firstName: 'Iris', lastName: 'Ironwood' },
  { id: '151210', firstName: 'Jonas', lastName: 'Juniper' },
  { id: '151211', firstName: 'Kira', lastName: 'Katsura' },
  { id: '151212', firstName: 'Leo', lastName: 'Larch' },
  { id: '96313', firstName: 'Mona', lastName: 'Maple' },
  { id: '96314', firstName: 'Nils', lastName: 'Nutmeg' },
];

const byId = new Map(roster.map((rep) => [rep.id, rep]));

/** The rep with this id. An id outside the roster gets a neutral name. */
export function repById(id: string): SimulatedRep {
  return byId.get(id) ?? { id, firstName: 'Rep', lastName: id };
}

/** "First Last", as in the planning list and the schedule answer. */
export function repName(id: string): string {
  const rep = repById(id);
  return `${rep.firstName} ${rep.lastName}`;
}
