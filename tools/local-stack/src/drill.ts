/**
 * `npm run drill [scene …]`: runs an outage on a fresh stack, shows it live, and prints a ledger of all calls.
 * Exits with status 1 if what arrived upstream, or how a call ended, contradicts what was posted.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printLedger, readLedger } from './drill/ledger.ts';
import { LiveView } from './drill/live-view.ts';
import { type Scene, scenes } from './drill/scenes.ts';
import { Stage } from './drill/stage.ts';
import { startStack } from './stack/stack.ts';
import { StackApi } from './stack/stack-api.ts';

async function play(scene: Scene): Promise<boolean> {
  const dataDir = await mkdtemp(join(tmpdir(), 'recloser-drill-'));
  const view = new LiveView();
  view.say(
    `${scene.title}. Starting Redis, the simulator, the API, the dashboard and ${scene.workers} workers …`,
  );
  try {
    await using stack = await startStack({
      env: { ...process.env, ...scene.env },
      workers: scene.workers,
      dataDir,
      installationDir: process.env.DATA_DIR?.trim() || '.data',
    });
    const api = new StackApi(stack.urls);
    const stage = new Stage({ api, view, stack });
    await scene.play(stage);
    view.end();
    const ledger = await readLedger(stage, Date.now());
    printLedger(scene.title, ledger);
    return ledger.wrong.length === 0;
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function main(names: readonly string[]): Promise<number> {
  const wanted = names.length === 0 ? scenes : scenes.filter((scene) => names.includes(scene.name));
  if (wanted.length < Math.max(1, names.length)) {
    console.error(`Unknown scene. Available scenes: ${scenes.map((scene) => scene.name).join(', ')}`);
    return 2;
  }
  let failed = 0;
  for (const scene of wanted) if (!(await play(scene))) failed += 1;
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
