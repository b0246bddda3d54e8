import { expect, test } from 'vitest';
import { SuspectGate } from './suspect-gate.ts';

test('a suspect waits for running calls, runs alone, and then lets others run', async () => {
  const suspectGate = new SuspectGate();
  expect(await suspectGate.enter(false)).toBe(true);
  expect(await suspectGate.enter(false)).toBe(true);
  let inside = false;
  const suspect = suspectGate.enter(true).then((entered) => {
    inside = entered;
  });
  expect(await suspectGate.enter(false)).toBe(false);
  expect(await suspectGate.enter(true)).toBe(false);
  suspectGate.leave();
  expect(inside).toBe(false);
  suspectGate.leave();
  await suspect;
  expect(inside).toBe(true);
  expect(await suspectGate.enter(false)).toBe(false);
  suspectGate.leave();
  expect(await suspectGate.enter(false)).toBe(true);
});

test('a suspect runs at once if no other call runs', async () => {
  const suspectGate = new SuspectGate();
  expect(await suspectGate.enter(true)).toBe(true);
  expect(await suspectGate.enter(false)).toBe(false);
  suspectGate.leave();
  expect(await suspectGate.enter(false)).toBe(true);
});
