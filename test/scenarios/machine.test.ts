/** Refusals by the machine: the built server runs out of file descriptors (V12). */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { createRoomcast } from '../../src/compose.js';
import { maxFds } from '../../src/metrics/process.js';
import { serveProcess } from '../support/process.js';

const WAIT = { timeout: 50_000, interval: 50 };

/** Sets the soft and hard limit of open files of a running process. */
function limit(pid: number, descriptors: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${descriptors}:${descriptors}`]);
}

describe.runIf(process.platform === 'linux')('out of descriptors', { timeout: 60_000 }, () => {
  test('members stay, the live page goes on, and later clients are served', async () => {
    const server = await serveProcess();
    const { port } = new URL(server.url);
    const member = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(member, 'open');
    onTestFinished(() => member.terminate());
    const viewer = await fetch(`${server.url}/v1/live`);
    limit(server.child.pid as number, 60);

    const sockets = Array.from({ length: 150 }, () =>
      connect(Number(port), '127.0.0.1').on('error', () => {}),
    );
    // Two samples, each of which fails to read numbers from the system.
    let seconds = 0;
    for await (const chunk of viewer.body as ReadableStream<Uint8Array>) {
      seconds += Buffer.from(chunk).toString().split('event: second').length - 1;
      if (seconds >= 2) break;
    }
    for (const socket of sockets) socket.destroy();

    const answered = new Promise((resolve) =>
      member.on('message', (data) => resolve(String(data))),
    );
    member.send('{"type":"ping","id":7}');
    expect(await answered).toBe('{"type":"pong","id":7}');
    await vi.waitFor(async () => {
      expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    }, WAIT);
    expect(server.child.exitCode).toBeNull();
  });

  test('a limit that is too high is lowered, and the log says so', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });
    const maxConnections = maxFds() + 1;
    await createRoomcast({ maxConnections, log }).close();
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { maxConnections, descriptors: maxFds() },
    ]);
  });
});
