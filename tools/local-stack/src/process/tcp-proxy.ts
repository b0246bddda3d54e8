/** A TCP proxy that tests and drills break: the route of one worker to an upstream, or of every process to Redis. */
import { createConnection, createServer, type Server, type Socket } from 'node:net';

export type TcpProxy = {
  readonly port: number;
  /** Accepts every connection and resets it, old and new, until `mend`. */
  break(): void;
  /** Keeps connections open and forwards nothing, like a lost route, until `mend`. */
  freeze(): void;
  mend(): void;
  [Symbol.asyncDispose](): Promise<void>;
};

type Mode = 'pass' | 'broken' | 'frozen';

/** @param targetPort a port on loopback */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let mode: Mode = 'pass';
  const server: Server = createServer((client) => {
    if (mode === 'broken') {
      client.resetAndDestroy();
      return;
    }
    const target = createConnection(targetPort, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        (socket === client ? target : client).destroy();
      });
      if (mode === 'frozen') socket.pause();
    }
    client.pipe(target);
    target.pipe(client);
    if (mode === 'frozen') for (const socket of [client, target]) socket.unpipe();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const dropAll = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port,
    break() {
      mode = 'broken';
      dropAll();
    },
    freeze() {
      mode = 'frozen';
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
    mend() {
      // A restored route does not bring old connections back.
      if (mode === 'frozen') dropAll();
      mode = 'pass';
    },
    async [Symbol.asyncDispose]() {
      dropAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
