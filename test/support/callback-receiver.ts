/** Receives callbacks on loopback like an application. Keeps those that the Standard Webhooks library verifies. */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

/** Two secrets, as during a rotation: a delivery must be valid for each. */
export type CallbackSecrets = readonly [string, string];

type Event = { readonly type: string; readonly timestamp: string; readonly data: Record<string, unknown> };

export type Delivery = {
  readonly id: string;
  readonly path: string;
  readonly event: Event;
  readonly headers: Record<string, string>;
  readonly text: string;
};

export function newCallbackSecrets(): CallbackSecrets {
  const secret = (): string => `whsec_${randomBytes(32).toString('base64')}`;
  return [secret(), secret()];
}

export class CallbackReceiver {
  readonly deliveries: Delivery[] = [];
  /** Why deliveries were refused. */
  readonly refused: string[] = [];
  /** Returns the status of the answer to a delivery. */
  answer: (path: string) => number | Promise<number> = () => 204;
  headers: Record<string, string> = {};
  readonly #secrets: CallbackSecrets;
  readonly #server = createServer((request, response) => {
    void this.#take(request).then((status) => response.writeHead(status, this.headers).end());
  });

  private constructor(secrets: CallbackSecrets) {
    this.#secrets = secrets;
  }

  /** Default port: a free one. */
  static async start(secrets: CallbackSecrets, port = 0): Promise<CallbackReceiver> {
    const receiver = new CallbackReceiver(secrets);
    await new Promise<void>((resolve) => receiver.#server.listen(port, '127.0.0.1', resolve));
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** Stops listening: connections are then refused. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The deliveries for one call, in order. */
  of(callId: unknown): Delivery[] {
    return this.deliveries.filter(({ event }) => event.data.id === callId);
  }

  async #take(request: IncomingMessage): Promise<number> {
    const text = (await request.toArray()).join('');
    const path = request.url ?? '';
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    try {
      const [event] = this.#secrets.map((secret) => new Webhook(secret).verify(text, headers) as Event);
      this.deliveries.push({ id: headers['webhook-id'] ?? '', path, event: event as Event, headers, text });
      return await this.answer(path);
    } catch (error) {
      this.refused.push(String(error));
      return 400;
    }
  }
}
