/**
 * A Redis server of a test's own as a container, where Docker is all the machine has.
 *
 * Always true: ports and folders are the same inside and outside, so a test need not know.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';

/** A program to spawn. `signal` reaches the server where a signal to the program would not. */
export type Launch = {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: (name: NodeJS.Signals) => void;
};

/** `words`: the server's arguments. `folders`: what it reads and writes. */
type Server = {
  readonly words: readonly string[];
  readonly port: number;
  readonly folders: readonly string[];
};

/** How to run `image` as that server. */
export function dockerLaunch(image: string, { words, port, folders }: Server): Launch {
  const name = `recloser-test-${randomUUID()}`;
  const user = process.getuid && process.getgid ? ['--user', `${process.getuid()}:${process.getgid()}`] : [];
  const volumes = [...new Set(folders)].flatMap((folder) => ['-v', `${folder}:${folder}`]);
  const options = ['run', '--rm', '--name', name, ...user, '-p', `127.0.0.1:${port}:${port}`, ...volumes];
  return {
    file: 'docker',
    args: [...options, image, 'redis-server', ...words, '--bind', '0.0.0.0', '--protected-mode', 'no'],
    signal(wanted) {
      const action = { SIGSTOP: ['pause'], SIGCONT: ['unpause'] }[wanted as string] ?? [
        'kill',
        '--signal',
        wanted,
      ];
      spawnSync('docker', [...action, name], { stdio: 'ignore' });
    },
  };
}
