/** Reloading the options of a running server: options that change, that cannot, and that are invalid. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { serveProcess } from '../support/process.js';

const TAKEN = 'the options were read again';
const REFUSED = 'the options cannot be changed; the current ones stay';

async function start(options: object) {
  const folder = mkdtempSync(join(tmpdir(), 'reload-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'room.json');
  const write = (text: string) => writeFileSync(file, text);
  write(JSON.stringify(options));
  const server = await serveProcess('--config', file);
  let reloads = 0;
  return {
    server: Object.assign(server, { file }),
    /** Resolves with the log line of the reload. */
    async reload(text: string) {
      write(text);
      server.child.kill('SIGHUP');
      reloads += 1;
      const lines = () => server.log.filter(({ msg }) => msg === TAKEN || msg === REFUSED);
      await expect.poll(() => lines().length).toBe(reloads);
      return lines().at(-1);
    },
    async askAs(key: string): Promise<number> {
      const headers = { authorization: `Bearer ${key}` };
      return (await fetch(`${server.url}/v1/rooms`, { headers })).status;
    },
  };
}

/** The publish rate limit in a new member's welcome. */
async function rate(url: string): Promise<number> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  onTestFinished(() => socket.terminate());
  const [welcome] = await once(socket, 'message');
  socket.close();
  return JSON.parse(String(welcome)).limits.publishRate;
}

test('SIGHUP: keys and limits change, or nothing does', async () => {
  const { server, reload, askAs } = await start({ apiKey: ['old'], publishRate: 5 });
  expect(await rate(server.url)).toBe(5);
  expect(await askAs('old')).toBe(200);

  expect(await reload('{"apiKey": ["new"], "publishRate": 6, "logLevel": "info"}')).toMatchObject({
    msg: TAKEN,
  });
  expect([await askAs('old'), await askAs('new')]).toEqual([401, 200]);
  expect(await rate(server.url)).toBe(6);

  // A malformed file, a wrong value, an option that needs a restart beside one that does not.
  expect(await reload('{"apiKey": ["newer"')).toMatchObject({
    level: 'error',
    msg: REFUSED,
    faults: [{ code: 'bad_config_file', message: expect.stringContaining('line 1') }],
  });
  expect(await reload('{"publishRate": -1, "joinRate": "x"}')).toMatchObject({
    faults: [{ code: 'bad_option' }, { code: 'bad_option' }],
  });
  const both = await reload('{"apiKey": ["newer"], "publishRate": 7, "heartbeatMs": 1000}');
  expect(both).toMatchObject({
    faults: [
      {
        code: 'needs_restart',
        message: 'heartbeatMs 1000 needs a restart: the running server keeps 25000',
      },
    ],
  });
  expect(await askAs('new')).toBe(200);
  expect(await askAs('newer')).toBe(401);
  expect(await rate(server.url)).toBe(6);
  expect(JSON.stringify(server.log)).not.toContain('newer');

  // The log level: less important lines are no longer written.
  server.child.kill('SIGUSR2');
  await server.line('locks');
  await reload('{"apiKey": ["new"], "logLevel": "info"}');
  server.child.kill('SIGUSR2');
  const count = () => server.log.filter(({ msg }) => msg === 'locks').length;
  await expect.poll(count).toBe(2);
  // This reload logs no line: the key shows that it is done.
  writeFileSync(server.file, '{"apiKey": ["third"], "logLevel": "error"}');
  server.child.kill('SIGHUP');
  await expect.poll(() => askAs('third')).toBe(200);
  server.child.kill('SIGUSR2');
  // Of two pending signals the system delivers the lower number first.
  expect(await askAs('third')).toBe(200);
  await reload('{"apiKey": ["new"], "logLevel": "info"}');
  expect(count()).toBe(2);
  server.child.kill('SIGTERM');
  expect(await server.exited).toBe(0);
});
