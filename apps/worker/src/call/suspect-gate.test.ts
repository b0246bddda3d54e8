import { expect, test } from 'vitest';
import { Room } from './suspect-gate.ts';

test('calls run together until a suspect comes; it waits, runs alone, and lets the others in again', async () => {
  const room = new Room();
  expect(await room.enter(false)).toBe(true);
  expect(await room.enter(false)).toBe(true);
  let inside = false;
  const suspect = room.enter(true).then((entered) => {
    inside = entered;
  });
  expect(await room.enter(false)).toBe(false);
  expect(await room.enter(true)).toBe(false);
  room.leave();
  expect(inside).toBe(false);
  room.leave();
  await suspect;
  expect(inside).toBe(true);
  expect(await room.enter(false)).toBe(false);
  room.leave();
  expect(await room.enter(false)).toBe(true);
});

test('a suspect enters an empty room at once', async () => {
  const room = new Room();
  expect(await room.enter(true)).toBe(true);
  expect(await room.enter(false)).toBe(false);
  room.leave();
  expect(await room.enter(false)).toBe(true);
});
