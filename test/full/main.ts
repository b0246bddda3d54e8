/** Runs before the first test of `npm run test:full`. Exits with status 1 when this machine lacks something. */
import { advice, missingNeeds } from './needs.ts';

const missing = await missingNeeds(process.env);
if (missing.length > 0) {
  console.error(advice(missing, process.getuid?.() === 0));
  process.exitCode = 1;
}
