/**
 * A machine that refuses a process for a worker, in each way Node reports it: the server survives,
 * reports it and retries (V12).
 */
import { expect, test } from 'vitest';
import { run } from '../support/process.js';

const REFUSED = 'no process can be started for a worker';
const SPARE_REFUSED = 'no spare process can be started';
/** Errors of the system: no memory, no descriptors, no processes. */
const [ENOMEM, EMFILE, EAGAIN] = [-12, -24, -11];

/**
 * Runs `serve` with two workers. The system answers the primary's forks with these errors, in order; 0
 * succeeds.
 */
function serve(...answers: readonly number[]) {
  const refusing = `
    import cluster from 'node:cluster';
    const { Process } = process.binding('process_wrap');
    const { spawn } = Process.prototype;
    const answers = ${JSON.stringify(answers)};
    if (cluster.isPrimary) {
      Process.prototype.spawn = function (...given) {
        return answers.shift() || spawn.apply(this, given);
      };
    }`;
  const flags = ['--port', '0', '--workers', '2', '--drain-ms', '0', '--lame-duck-ms', '0'];
  return run(['serve', ...flags], {
    node: ['--import', `data:text/javascript,${encodeURIComponent(refusing)}`],
  });
}

const of = ({ log }: ReturnType<typeof serve>, message: string) =>
  log.filter(({ msg }) => msg === message);

const codes = (lines: ReturnType<typeof of>) =>
  lines.map(({ err }) => (err as { readonly code?: string }).code);

test('a slot gets its worker once a process can be started', async () => {
  // Two workers, the spare, and three attempts to replace an ended one.
  const server = serve(0, 0, ENOMEM, EMFILE, EAGAIN, ENOMEM);
  await server.line(SPARE_REFUSED);
  const { url } = await server.line('serving');
  const [first] = of(server, 'a worker serves').filter(({ worker }) => worker === 0);
  process.kill(Number(first?.['pid']), 'SIGKILL');
  await expect
    .poll(() => of(server, 'a worker serves').filter(({ worker }) => worker === 0).length, {
      timeout: 60_000,
    })
    .toBe(2);
  const refused = [...of(server, SPARE_REFUSED), ...of(server, REFUSED)];
  expect(codes(refused).sort()).toEqual(['EAGAIN', 'EMFILE', 'ENOMEM', 'ENOMEM']);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  server.child.kill('SIGTERM');
  expect(await server.exited).toBe(0);
});

test.each([ENOMEM, EMFILE, EAGAIN])('a refused start (%i) is reported and ends', async (code) => {
  const server = serve(0, code);
  expect(await server.exited).toBe(1);
  expect(server.stderr + server.stdout.join('\n')).toMatch(/spawn.* E(NOMEM|MFILE|AGAIN)/);
});

test.each([ENOMEM, EMFILE, EAGAIN])(
  'a refused replacement (%i) keeps the old workers',
  async (code) => {
    const server = serve(0, 0, 0, code);
    await server.line('serving');
    server.child.kill('SIGHUP');
    await server.line('a worker cannot be replaced; the remaining workers stay');
    expect(of(server, 'a worker serves')).toHaveLength(2);
  },
);
