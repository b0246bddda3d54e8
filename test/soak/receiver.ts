/** Receives callbacks and verifies their signatures. It sometimes answers 500, so that deliveries are repeated. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Random } from '../support/random.ts';

export type Receiver = {
  readonly url: string;
  /** The statuses reported for each call, in order, without deliveries that were answered 500. */
  readonly told: ReadonlyMap<string, readonly string[]>;
  readonly counts: Readonly<Record<'taken' | 'turnedAway' | 'unsigned', number>>;
  [Symbol.asyncDispose](): Promise<void>;
};

const turnsAway = 0.1;

export async function startReceiver(secret: string, random: Random): Promise<Receiver> {
  const told = new Map<string, string[]>();
  const counts = { taken: 0, turnedAway: 0, unsigned: 0 };
  const webhook = new Webhook(secret);
  const take = async (request: IncomingMessage): Promise<number> => {
    const text = (await request.toArray()).join('');
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    let event: { readonly data: { readonly id: string; readonly status: string } };
    try {
      event = webhook.verify(text, headers) as typeof event;
    } catch {
      counts.unsigned += 1;
      return 400;
    }
    if (random() < turnsAway) {
      counts.turnedAway += 1;
      return 500;
    }
    counts.taken += 1;
    const { id, status } = event.data;
    told.set(id, [...(told.get(id) ?? []), status]);
    return 204;
  };
  const server = createServer((request, response) => {
    void take(request).then((status) => response.writeHead(status).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/done`,
    told,
    counts,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
