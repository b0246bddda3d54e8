/** A test's own Redis server as a container. Ports and folders are the same inside and outside. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';

/** A program to spawn. `signal` signals the server inside the container. */
export type Launch = {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: (name: NodeJS.Signals) => void;
};

/** `words` are the server's arguments. `folders` are mounted. */
type Server = {
  readonly words: readonly string[];
  readonly port: number;
  readonly folders: readonly string[];
};

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
