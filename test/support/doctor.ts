/** Runs `npm run doctor` as an operator does: a real process, with nothing of our own environment. */
import { runCommand } from '@recloser/local-stack/run-command';

export type Finding = { status: string; check: string; found: string; advice?: string };
export type Report = { code: number | null; status: string; findings: Finding[]; output: string };

const root = new URL('../../', import.meta.url).pathname;

/** Runs it; how it ended and what it printed. */
export function runDoctor(env: Record<string, string>, ...args: string[]) {
  const { PATH = '', HOME = '' } = process.env;
  return runCommand(process.execPath, ['apps/doctor/src/main.ts', ...args], {
    cwd: root,
    env: { PATH, HOME, ...env },
    timeoutMs: 60_000,
  });
}

/** Its report. Throws, with what it printed, when it gives none. */
export async function doctor(env: Record<string, string>, ...args: string[]): Promise<Report> {
  const { status, output } = await runDoctor(env, '--json', ...args);
  try {
    return { code: status, output, ...(JSON.parse(output) as Pick<Report, 'status' | 'findings'>) };
  } catch {
    throw new Error(`the doctor gave no report: ${output}`);
  }
}
