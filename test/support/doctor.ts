/** Runs the doctor in this process, or as the program that an operator runs. */
import { type AppName, appNames } from '@recloser/doctor/check-configuration';
import { examine } from '@recloser/doctor/examine';
import { asJson, worst } from '@recloser/doctor/finding';
import { runCommand } from '@recloser/local-stack/process/run-command';

type Finding = { status: string; check: string; found: string; advice?: string };
/** `code` is the exit status. */
export type Report = { code: number; status: string; findings: Finding[]; output: string };

const root = new URL('../../', import.meta.url).pathname;

/** Runs the program. Its environment contains only PATH, HOME and `env`. */
export function runDoctor(env: Record<string, string>, ...args: string[]) {
  const { PATH = '', HOME = '' } = process.env;
  return runCommand(process.execPath, ['tools/doctor/src/main.ts', ...args], {
    cwd: root,
    env: { PATH, HOME, ...env },
    timeoutMs: 60_000,
  });
}

/** Runs the checks in this process. */
export async function doctor(
  env: Record<string, string>,
  apps: readonly AppName[] = appNames,
): Promise<Report> {
  const findings = await examine({ env, apps, root, nodeVersion: process.version });
  const status = worst(findings);
  return { code: status === 'fail' ? 1 : 0, status, findings, output: asJson(findings) };
}
