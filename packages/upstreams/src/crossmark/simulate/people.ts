/**
 * The made-up representatives of the Crossmark simulation. No real person is meant.
 *
 * Always true: any rep id gives the same answer each time; ids outside the roster get a neutral name.
 */

/** One representative; ids are the 5 to 6 digit RepIDs. */
export type SimulatedRep = { readonly id: string; readonly firstName: string; readonly lastName: string };

/** The roster of the one simulated club. */
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

/** The rep with this id; one outside the roster is made up from the id alone. */
export function repById(id: string): SimulatedRep {
  return byId.get(id) ?? { id, firstName: 'Rep', lastName: id };
}

/** "First Last", as the planning list and the schedule reply show it. */
export function repName(id: string): string {
  const rep = repById(id);
  return `${rep.firstName} ${rep.lastName}`;
}
