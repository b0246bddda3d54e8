import { expect, test } from 'vitest';
import { addressDifferences, advertisedAddress, type LiveWorker, parseAdvert } from './advert.ts';

function worker(id: string, startedAt: number, url: string): LiveWorker {
  const addresses = { BASE_URL: advertisedAddress(url) };
  return { id, startedAt, advert: { operations: [], envelopes: [1], keys: [], addresses } };
}

const real = 'https://api.example/v1';
const simulator = 'http://127.0.0.1:3002/acme';

test('the fleet uses the address of most workers', () => {
  const odd = worker('a', 1, simulator);
  const fleet = [odd, worker('b', 2, real), worker('c', 3, real)];
  expect(fleet.map((one) => addressDifferences(one, fleet))).toEqual([
    [{ variable: 'BASE_URL', host: '127.0.0.1:3002', fleetHost: 'api.example' }],
    [],
    [],
  ]);
});

test('in a tie the address of the oldest worker', () => {
  const fleet = [worker('b', 2, simulator), worker('a', 1, real)];
  expect(fleet.map((one) => addressDifferences(one, fleet).length)).toEqual([1, 0]);
});

test('another path of the same host is another address, and no path is advertised', () => {
  const fleet = [worker('a', 1, real), worker('b', 2, 'https://api.example/test-7')];
  expect(fleet.map((one) => addressDifferences(one, fleet).length)).toEqual([0, 1]);
  expect(JSON.stringify(fleet)).not.toContain('test-7');
});

test('workers without an advert are ignored, and invalid data is not an advert', () => {
  const silent: LiveWorker = { id: 'old', startedAt: 0, advert: null };
  const fleet = [silent, worker('a', 1, real)];
  expect(fleet.map((one) => addressDifferences(one, fleet))).toEqual([[], []]);
  expect([parseAdvert(null), parseAdvert({ operations: 'x' })]).toEqual([null, null]);
});
