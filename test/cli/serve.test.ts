import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { greeting } from '../../src/cli/serve.js';
import { defaults } from '../../src/options/config.js';
import { version } from '../../src/version.js';
import { run, serveProcess } from '../support/process.js';

/** Runs the command to its end, which must be soon: it does not listen. */
async function result(args: string[], env: Record<string, string> = {}) {
  const process = run(args, { env });
  return { code: await process.exited, out: process.stdout.join('\n'), err: process.stderr };
}

describe('a user error ends with 2 and one line', () => {
  test.each([
    [['--port', '70000'], /--port 70000 is not allowed: give a whole number, 0 to 65535/],
    [['--port', '-5'], /--port -5 is not allowed: give a whole number, 0 to 65535/],
    [['--port'], /'--port <port>' argument missing: give 0 to 65535/],
    [['--prot', '1'], /unknown option '--prot' \(Did you mean --port\?\)/],
    [['--zzz'], /unknown option '--zzz': see roomcast serve --help/],
    [['lobby'], /"lobby" is not an option: see roomcast serve --help/],
    [
      ['--origin', 'http://a.example', '--origin', 'b'],
      /--origin "b" is not allowed: give origins/,
    ],
    [
      ['--drain-ms', '20000'],
      /--shutdown-grace-ms 8000 \(the default\) is not allowed with --drain/,
    ],
    [['--config', '/no/such/file'], /--config "\/no\/such\/file" cannot be read \(ENOENT\)/],
  ])('serve %j', async (args, line) => {
    const { code, out, err } = await result(['serve', ...args]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(line);
    expect(err).toMatch(/^roomcast: [^\n]+\n$/);
  });

  test('a wrong environment variable', async () => {
    const { code, err } = await result(['serve'], { ROOMCAST_POLICY: 'wait' });
    expect(code).toBe(2);
    expect(err).toBe(
      'roomcast: ROOMCAST_POLICY "wait" is not allowed: give one of drop-oldest, drop-newest, latest-by-key, disconnect\n',
    );
  });

  test('an unknown command', async () => {
    const { code, err } = await result(['sevre']);
    expect(code).toBe(2);
    expect(err).toBe("roomcast: unknown command 'sevre' (Did you mean serve?)\n");
    const unlike = await result(['zzz']);
    expect(unlike.err).toBe("roomcast: unknown command 'zzz': see roomcast --help\n");
  });

  test('no command: the help, on stderr', async () => {
    const { code, out, err } = await result([]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^Usage: roomcast/);
  });

  test('a wrong key, which is not shown', async () => {
    const { code, out, err } = await result(['serve', '--api-key', 'hunter2 hunter2']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^roomcast: --api-key \(not shown\) is not allowed: give keys of/);
    expect(err).not.toContain('hunter2');
  });
});

test('--help and --version end with 0 on stdout', async () => {
  const help = await result(['serve', '--help']);
  expect(help).toMatchObject({ code: 0, err: '' });
  expect(help.out).toMatch(/^Usage: roomcast serve/);
  expect(await result(['--version'])).toEqual({ code: 0, out: version, err: '' });
});

describe('a start that the machine does not allow ends with 1 and one line', () => {
  test('a port in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    expect(await result(['serve', '--port', String(port)])).toEqual({
      code: 1,
      out: '',
      err: `roomcast: port ${port} of 127.0.0.1 is in use: give another --port, or --port 0 for any free one\n`,
    });
  });

  test('an internal port in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    expect(await result(['serve', '--port', '0', '--internal-port', String(port)])).toEqual({
      code: 1,
      out: '',
      err: `roomcast: port ${port} of 127.0.0.1 is in use: give another --internal-port\n`,
    });
  });

  test('a unix socket in a missing folder, or at the path of a file, which is not changed', async () => {
    const nowhere = join(tmpdir(), `roomcast-none-${process.pid}`, 'a.sock');
    expect(await result(['serve', '--unix-socket', nowhere])).toEqual({
      code: 1,
      out: '',
      err: `roomcast: unix socket ${nowhere} cannot be created: give a --unix-socket in a writable folder\n`,
    });
    const file = join(tmpdir(), `roomcast-file-${process.pid}`);
    writeFileSync(file, 'precious');
    onTestFinished(() => rmSync(file));
    expect(await result(['serve', '--unix-socket', file])).toEqual({
      code: 1,
      out: '',
      err: `roomcast: unix socket ${file} is in use, or is a file of another kind: give another --unix-socket\n`,
    });
    expect(readFileSync(file, 'utf8')).toBe('precious');
    const { code, err } = await result(['serve', '--unix-socket', tmpdir()]);
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining('is in use, or') });
  });

  test('an address of another machine', async () => {
    // 192.0.2.0/24 is reserved for documentation: no machine has it.
    const { code, err } = await result(['serve', '--host', '192.0.2.1', '--port', '0']);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^roomcast: host 192\.0\.2\.1 is not an address of this machine: [^\n]+\n$/,
    );
    const internal = ['--internal-port', '1', '--internal-host', '192.0.2.1'];
    expect((await result(['serve', '--port', '0', ...internal])).err).toContain(
      'host 192.0.2.1 is not an address of this machine: give another --internal-host',
    );
  });
});

describe('a running server', () => {
  test('prints its address, serves there, and never shows its keys', async () => {
    const file = join(tmpdir(), `roomcast-serve-${process.pid}.json`);
    writeFileSync(file, '{"port": 0, "maxRoomsPerMember": 7}');
    onTestFinished(() => rmSync(file));
    const server = run(['serve', '--config', file, '--log-level', 'trace'], {
      env: { ROOMCAST_API_KEY: 'hunter2hunter2' },
    });
    const line = await server.line('serving');
    const { url, websocket, metrics, docs } = line as Record<string, string>;
    expect(line).toMatchObject({
      level: 'info',
      websocket: `${url!.replace('http', 'ws')}/ws`,
      sockjs: `${url}/sockjs`,
      chat: `npx wscat -c ${websocket}`,
    });
    expect(line['publish']).toContain(`curl ${url}/v1/rooms/chat:lobby/messages`);

    const rooms = `${url}/v1/rooms`;
    expect((await fetch(rooms)).status).toBe(401);
    const headers = { authorization: 'Bearer hunter2hunter2' };
    expect((await fetch(rooms, { headers })).status).toBe(200);
    expect((await fetch(metrics!)).status).toBe(401);
    expect((await fetch(metrics!, { headers })).status).toBe(200);
    expect((await fetch(docs!)).status).toBe(200);
    const socket = new WebSocket(websocket!);
    const [welcome] = await once(socket, 'message');
    expect(JSON.parse(String(welcome))).toMatchObject({ limits: { maxRoomsPerMember: 7 } });

    server.child.kill('SIGTERM');
    expect(await server.exited).toBe(0);
    expect(server.log.at(-1)).toMatchObject({ msg: 'closed', drained: 1, abandoned: 0 });
    expect(server.stdout.join('\n') + server.stderr).not.toContain('hunter2');
  });

  test('SIGINT closes it; abandoned messages are in the log, and nothing is left open', async () => {
    const server = await serveProcess('--drain-ms', '0', '--shutdown-grace-ms', '500');
    const { member } = await stalledMember(server.url);
    server.child.kill('SIGINT');
    expect(await server.exited).toBe(0);
    const [closing, line, closed] = server.log.slice(-3);
    expect(closing).toMatchObject({ signal: 'SIGINT', graceMs: 500 });
    expect(line).toMatchObject({
      level: 'info',
      msg: 'a member was closed',
      reason: 'going_away',
      member,
    });
    expect(closed).toMatchObject({ level: 'warn', abandoned: 1, members: [{ member }] });
    expect(closed!['messages']).toBeGreaterThan(0);
  });

  test('a second SIGINT ends it at once with 130', async () => {
    const server = await serveProcess('--drain-ms', '0', '--shutdown-grace-ms', '86400000');
    await stalledMember(server.url);
    server.child.kill('SIGTERM');
    await server.line('closing; a second signal ends it now');
    server.child.kill('SIGINT');
    expect(await server.exited).toBe(130);
  });

  test.each([
    ['uncaughtException', 'throw new Error("boom")'],
    ['unhandledRejection', 'Promise.reject(new Error("boom"))'],
  ])('%s: logged as fatal, exit code 1', async (origin, code) => {
    const onSignal = `data:text/javascript,process.on("SIGHUP", () => { ${code} })`;
    const server = run(['serve', '--port', '0'], { node: ['--import', onSignal] });
    await server.line('serving');
    server.child.kill('SIGHUP');
    expect(await server.exited).toBe(1);
    const fatal = { level: 'fatal', msg: 'failed', origin, err: { message: 'boom' } };
    expect(server.log.at(-1)).toMatchObject(fatal);
  });
});

/** A member that does not read, with messages in its queue. */
async function stalledMember(url: string) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  onTestFinished(() => socket.terminate());
  const [welcome] = await once(socket, 'message');
  socket.send('{"type":"join","id":1,"room":"chat:lobby"}');
  await once(socket, 'message');
  socket.pause();
  // More than the kernel buffers for a peer, which is over 4 MB.
  const data = 'x'.repeat(60_000);
  const messages = Array.from({ length: 16 }, () => ({ room: 'chat:lobby', data }));
  for (let batch = 0; batch < 12; batch++) {
    const answer = await fetch(`${url}/v1/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages }),
    });
    expect(answer.status).toBe(200);
  }
  return JSON.parse(String(welcome)) as { member: string };
}

describe('the greeting on a terminal', () => {
  test('prints its address and first steps', () => {
    const text = greeting('http://127.0.0.1:8080', defaults);
    expect(text).toContain('ws://127.0.0.1:8080/ws');
    expect(text).toContain('http://127.0.0.1:8080/sockjs');
    expect(text).toContain('http://127.0.0.1:8080/metrics');
    expect(text).toContain('npx wscat -c ws://127.0.0.1:8080/ws');
    expect(text).not.toContain('authorization');
  });

  test('omits disabled features, and mentions a key without showing it', () => {
    const text = greeting('http://[::1]:1', { ...defaults, metrics: false, apiKey: ['hunter2'] });
    expect(text).not.toContain('/metrics');
    expect(text).not.toContain('hunter2');
    expect(text).toContain('-H "authorization: Bearer $KEY"');
  });
});

describe('a log that cannot be written does not end the server (V12)', () => {
  /** `roomcast serve` with its log in the given file, on a free port. */
  async function serveInto(log: string) {
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port } = free.address() as AddressInfo;
    free.close();
    await once(free, 'close');
    const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
    const command = `exec ${process.execPath} ${main} serve --port ${port} --lame-duck-ms 0 > ${log}`;
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    return { child, port };
  }

  test('its reader exits: members stay, and a signal shuts the server down in order', async () => {
    const server = await serveProcess('--lame-duck-ms', '0');
    server.child.stdout?.destroy();
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws`);
    await once(socket, 'message');
    server.child.kill('SIGUSR2');
    const pong = once(socket, 'message');
    socket.send('{"type":"ping","id":1}');
    await pong;
    server.child.kill('SIGTERM');
    expect((await once(socket, 'close'))[0]).toBe(4200);
    expect(await server.exited).toBe(0);
    expect(server.stderr).toBe('roomcast: continuing without a log: write EPIPE\n');
  });

  test.skipIf(!existsSync('/dev/full'))('its disk is full: reported once on stderr', async () => {
    const { child, port } = await serveInto('/dev/full');
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    // Once all of its output has arrived, which may be after its exit.
    const closed = once(child, 'close');
    await expect
      .poll(
        () =>
          fetch(`http://127.0.0.1:${port}/readyz`).then(
            ({ status }) => status,
            () => 0,
          ),
        {
          timeout: 30_000,
        },
      )
      .toBe(200);
    child.kill('SIGUSR2');
    child.kill('SIGTERM');
    expect((await closed)[0]).toBe(0);
    expect(stderr.split('\n')).toEqual([expect.stringContaining('ENOSPC'), '']);
  });
});
