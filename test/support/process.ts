/** Runs the command as users do (`spawned.ts`), and ends it after the test. */
import { onTestFinished } from 'vitest';
import { type How, type Process, start } from './spawned.js';

export type { Process } from './spawned.js';

export interface ServerProcess extends Process {
  readonly url: string;
}

/** `roomcast` with these arguments. */
export function run(args: readonly string[], how: How = {}): Process {
  const process = start(args, how);
  onTestFinished(() => {
    process.child.kill('SIGKILL');
  });
  return process;
}

/** `roomcast serve` on a free port. */
export async function serveProcess(...flags: string[]): Promise<ServerProcess> {
  const server = run(['serve', '--port', '0', ...flags]);
  const { url } = await server.line('serving');
  return Object.assign(server, { url: String(url) });
}
