/**
 * Runs before the first test of `npm run test:full`: lists what this machine lacks and the one command that installs
 * it, and then exits with 1.
 */
import { missingNeeds } from './needs.ts';

const missing = await missingNeeds(process.env);
if (missing.length > 0) {
  const sudo = process.getuid?.() === 0 ? '' : 'sudo ';
  const packages = missing.map(({ debianPackage }) => debianPackage).join(' ');
  console.error(
    [
      'npm run test:full cannot start. This machine lacks:',
      ...missing.map(({ what }) => `  - ${what}`),
      'Install it (Debian, Ubuntu) with:',
      `  ${sudo}apt-get install -y ${packages}`,
    ].join('\n'),
  );
  process.exitCode = 1;
}
