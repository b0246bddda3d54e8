/** Starts the simulator, and stops it on a signal. */
import { ConfigError } from '@recloser/runtime/env/env';
import { createLogger } from '@recloser/runtime/observe/logger';
import { ListenError, listen } from '@recloser/runtime/process/http-server';
import { runUntilSignal } from '@recloser/runtime/process/shutdown';
import { createSimulator } from './app.ts';
import { parseConfig } from './config.ts';

try {
  await main();
} catch (error) {
  if (!(error instanceof ConfigError || error instanceof ListenError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const config = parseConfig(process.env);
  const log = createLogger({
    name: 'simulator',
    level: config.LOG_LEVEL,
    pretty: config.LOG_PRETTY,
    environment: config.NODE_ENV,
  });
  const simulator = createSimulator({ log });
  const server = await listen(simulator.app, {
    host: config.HOST,
    port: config.SIMULATOR_PORT,
    portVariable: 'SIMULATOR_PORT',
  });
  log.info({ url: server.url }, 'simulator listening');
  runUntilSignal({
    stop: async () => {
      const closed = server.close(2000);
      simulator.stop();
      await closed;
    },
    deadlineMs: 5000,
    log,
  });
}
