/** Where serve() listens, and what it answers there. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { request as ask, Server as HttpServer, type IncomingMessage } from 'node:http';
import { Agent, get } from 'node:https';
import { connect, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect as connectTls } from 'node:tls';
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { ConfigError } from '../src/errors.js';
import type { Config } from '../src/options/config.js';
import { type Listening, serve } from '../src/serve.js';
import { certificate } from './support/certificate.js';
import { freePort } from './support/free-port.js';
import { collectAll } from './support/heap.js';

const folder = mkdtempSync(join(tmpdir(), 'roomcast-serve-'));
afterAll(() => rmSync(folder, { recursive: true }));

const QUICK = { port: 0, drainMs: 0, lameDuckMs: 0, lockDetector: 'strict' } as const;
const WAIT = { timeout: 20_000, interval: 50 };

async function open(options: Partial<Config> = {}, own = {}) {
  const served = (await serve({ ...QUICK, ...options, ...own })) as Listening;
  onTestFinished(async () => {
    await served.close();
  });
  return served;
}

const statusOf = async (url: string, headers = {}) => (await fetch(url, { headers })).status;

/** The first event sent to a member that connects here. */
async function welcomed(url: string, options = {}): Promise<string> {
  const socket = new WebSocket(url, options);
  onTestFinished(() => socket.terminate());
  const [first] = await once(socket, 'message');
  return String(first);
}

/** The status line of the answer to this text. */
async function raw(url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(text);
  const [chunk] = await once(socket, 'data');
  socket.destroy();
  return String(chunk).split('\r\n', 1)[0] as string;
}

test('an accepted connection without a request yet is answered after the server has stopped listening', async () => {
  const served = (await open()) as Listening;
  const socket = connect(Number(new URL(served.url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  // Accepted after it.
  expect(await statusOf(`${served.url}/healthz`)).toBe(200);
  served.stopListening();
  socket.write('GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n');
  const [chunk] = await once(socket, 'data');
  expect(String(chunk)).toMatch(/^HTTP\/1\.1 200 /);
});

test('a shutdown ends with the last member, not at the end of its grace', async () => {
  const served = await serve({ ...QUICK, shutdownGraceMs: 600_000 });
  await welcomed(`${served.url.replace('http', 'ws')}/ws`);
  expect(await served.close()).toMatchObject({ drained: 1, abandoned: [], waiting: [] });
});

const INSIDE = [
  '/',
  '/metrics',
  '/docs',
  '/runbook',
  '/v1/openapi.json',
  '/v1/members',
  '/v1/rooms',
];
const OUTSIDE = ['/healthz', '/readyz', '/sockjs/info'];

describe('an internal port', () => {
  test('serves the API, metrics and pages; the public port serves none of them', async () => {
    const { url, internalUrl } = await open({ internalPort: await freePort() });
    for (const path of INSIDE) {
      expect([path, await statusOf(internalUrl + path)]).toEqual([path, 200]);
      expect([path, await statusOf(url + path)]).toEqual([path, 404]);
    }
    for (const path of OUTSIDE) expect([path, await statusOf(url + path)]).toEqual([path, 200]);
    expect(await welcomed(`${url.replace('http', 'ws')}/ws`)).toContain('"welcome"');
  });

  test('that is in use leaves the public port closed', async () => {
    const { internalUrl } = await open({ internalPort: await freePort() });
    const port = await freePort();
    const options = { ...QUICK, port, internalPort: Number(new URL(internalUrl).port) };
    await expect(serve(options)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow('fetch failed');
  });

  test('records profiles, one at a time, and frees it if the client disconnects', async () => {
    const { internalUrl } = await open({ internalPort: await freePort() });
    const ask = (path: string, init = {}) => fetch(`${internalUrl}/v1/profiles/${path}`, init);
    const gone = new AbortController();
    const first = ask('cpu?seconds=60', { signal: gone.signal });
    await vi.waitFor(async () => expect((await ask('heap?seconds=1')).status).toBe(503), WAIT);
    gone.abort();
    await expect(first).rejects.toThrow();
    const cpu = await vi.waitFor(async () => {
      const answer = await ask('cpu?seconds=1');
      expect(answer.status).toBe(200);
      return answer;
    }, WAIT);
    expect(cpu.headers.get('content-disposition')).toContain('.cpuprofile');
    const { nodes, timeDeltas } = (await cpu.json()) as Record<string, unknown[]>;
    expect(nodes?.length).toBeGreaterThan(1);
    expect(timeDeltas?.length).toBeGreaterThan(1);
    expect(await (await ask('heap?seconds=1')).json()).toHaveProperty('head.children');
    expect((await ask('cpu?seconds=61')).status).toBe(400);
  });

  test('a profile ends when the server begins to close; the shutdown does not wait for it', async () => {
    const { internalUrl, close } = await open({ internalPort: await freePort() });
    const ask = (path: string) => fetch(`${internalUrl}/v1/profiles/${path}`);
    const profile = ask('cpu?seconds=60');
    await vi.waitFor(async () => expect((await ask('heap?seconds=1')).status).toBe(503), WAIT);
    await close();
    expect(await (await profile).json()).toHaveProperty('nodes');
  });

  test('requires an API key for /v1 if one is set', async () => {
    const { internalUrl } = await open({ internalPort: await freePort(), apiKey: ['key'] });
    expect(await statusOf(`${internalUrl}/v1/rooms`)).toBe(401);
    expect(await statusOf(`${internalUrl}/v1/rooms`, { authorization: 'Bearer key' })).toBe(200);
  });
});

describe('without an internal port', () => {
  test('there are no profiles', async () => {
    const { url } = await open();
    const answer = await fetch(`${url}/v1/profiles/cpu`);
    expect([answer.status, await answer.json()]).toEqual([
      404,
      { code: 'not_found', message: expect.stringContaining('--internal-port') },
    ]);
  });

  const tricks: [what: string, head: string][] = [
    ['a forwarding header', 'HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1'],
    ['Forwarded', 'HTTP/1.1\r\nHost: 127.0.0.1\r\nForwarded: for=127.0.0.1'],
    ['Via', 'HTTP/1.1\r\nHost: 127.0.0.1\r\nVia: 1.1 proxy'],
    ['the Host of a site', 'HTTP/1.1\r\nHost: app.example.com'],
    ['a Host that starts like a local one', 'HTTP/1.1\r\nHost: localhost.example.com'],
    ['HTTP/1.0, the default of nginx', 'HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close'],
    ['no Host', 'HTTP/1.0\r\nConnection: close'],
  ];

  test.each(tricks)(
    'a request with %s is refused everything except the probes',
    async (_, head) => {
      const { url } = await open();
      for (const path of INSIDE) {
        expect([path, await raw(url, `GET ${path} ${head}\r\n\r\n`)]).toEqual([
          path,
          'HTTP/1.1 403 Forbidden',
        ]);
      }
      for (const path of OUTSIDE)
        expect(await raw(url, `GET ${path} ${head}\r\n\r\n`)).toMatch(/ 200 /);
    },
  );

  test('a request from this machine gets everything', async () => {
    const { url, internalUrl } = await open();
    expect(internalUrl).toBe(url);
    for (const path of INSIDE) expect([path, await statusOf(url + path)]).toEqual([path, 200]);
  });

  test('with an API key, pages are open, and metrics require it as /v1 does', async () => {
    const { url } = await open({ apiKey: ['key'] });
    const proxied = { 'x-forwarded-for': '203.0.113.1' };
    expect(await statusOf(`${url}/`, proxied)).toBe(200);
    for (const path of ['/metrics', '/v1/members']) {
      expect(await statusOf(url + path, proxied)).toBe(401);
      expect(await statusOf(url + path, { authorization: 'Bearer key' })).toBe(200);
    }
  });
});

describe('a prefix', () => {
  test('applies to everything; other paths do not exist', async () => {
    const { url } = await open({ pathPrefix: '/a/real-time' });
    expect(new URL(url).pathname).toBe('/a/real-time');
    const { origin } = new URL(url);
    for (const path of [...INSIDE, ...OUTSIDE]) {
      expect([path, await statusOf(url + path)]).toEqual([path, 200]);
      expect([path, await statusOf(origin + path)]).toEqual([path, 404]);
    }
    expect(await statusOf(url)).toBe(200);
    expect(await statusOf(`${url}x/healthz`)).toBe(404);
    expect(await welcomed(`${url.replace('http', 'ws')}/ws`)).toContain('"welcome"');
    expect(await welcomed(`${url.replace('http', 'ws')}/sockjs/websocket`)).toContain('"welcome"');
    const refused = new WebSocket(`${origin.replace('http', 'ws')}/ws`);
    const [error] = await once(refused, 'error');
    expect(error.message).toContain('404');
  });

  test('is part of the links in the pages', async () => {
    const { url } = await open({ pathPrefix: '/rt' });
    for (const page of ['/', '/runbook', '/docs']) {
      const text = await (await fetch(url + page)).text();
      const links = Array.from(
        text.matchAll(/(?:src|href)="([^"#:]+)"/g),
        ([, link]) => link as string,
      );
      expect(links.length).toBeGreaterThan(0);
      for (const link of links)
        expect([link, await statusOf(new URL(link, url + page).href)]).toEqual([link, 200]);
    }
  });
});

describe('TLS', () => {
  const insecure = { rejectUnauthorized: false };
  const nameAt = async (url: string) => {
    const socket = connectTls({ port: Number(new URL(url).port), host: '127.0.0.1', ...insecure });
    await once(socket, 'secureConnect');
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return name;
  };

  test('is used by members too; a changed certificate is reloaded, an invalid one is not', {
    timeout: 60_000,
  }, async () => {
    const lines: string[] = [];
    const log = {
      info: (_: object, text: string) => void lines.push(text),
      warn: () => {},
      error: (_: object, text: string) => void lines.push(text),
    };
    const files = certificate('first', folder);
    const { url, roomcast } = await open({ ...files, maxConnectionsPerAddress: 2 }, { log });
    expect(url).toMatch(/^https:/);
    expect(await welcomed(`${url.replace('http', 'ws')}/ws`, insecure)).toContain('"welcome"');
    const agent = new Agent(insecure);
    const [answer] = await once(get(`${url}/healthz`, { agent }), 'response');
    expect(answer.statusCode).toBe(200);
    agent.destroy();
    expect(roomcast.members()).toMatchObject([{ address: '127.0.0.1' }]);
    expect(await nameAt(url)).toBe('first');
    certificate('second', folder);
    await vi.waitFor(async () => expect(await nameAt(url)).toBe('second'), WAIT);
    writeFileSync(files.tlsCert, 'nonsense');
    utimesSync(files.tlsCert, new Date(), new Date(Date.now() + 5000));
    await vi.waitFor(
      () => expect(lines).toContainEqual(expect.stringContaining('the previous one stays')),
      WAIT,
    );
    expect(await nameAt(url)).toBe('second');
  });

  test('a key file that changes after its certificate is reloaded too', {
    timeout: 60_000,
  }, async () => {
    const files = certificate('early', folder);
    const key = readFileSync(files.tlsKey);
    const lines: string[] = [];
    const note = (_: object, text: string) => void lines.push(text);
    const { url } = await open(files, { log: { info: note, warn: note, error: note } });
    certificate('late', folder);
    const later = readFileSync(files.tlsKey);
    writeFileSync(files.tlsKey, key);
    await vi.waitFor(
      () => expect(lines).toContainEqual(expect.stringContaining('the previous one stays')),
      WAIT,
    );
    expect(await nameAt(url)).toBe('early');
    writeFileSync(files.tlsKey, later);
    await vi.waitFor(async () => expect(await nameAt(url)).toBe('late'), WAIT);
  });

  test('a connection that sends nothing is closed', async () => {
    const { url } = await open({ ...certificate('quiet', folder), firstFrameMs: 100 });
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    await once(socket.resume(), 'close');
  });

  test.each<[what: string, given: () => Partial<Config>, code: string]>([
    ['a certificate alone', () => ({ tlsCert: '/x' }), 'unfit_options'],
    ['a key alone', () => ({ tlsKey: '/x' }), 'unfit_options'],
    ['missing files', () => ({ tlsCert: '/x', tlsKey: '/y' }), 'bad_option'],
    [
      'files that are not PEM',
      () => ({ tlsCert: '/etc/hostname', tlsKey: '/etc/hostname' }),
      'bad_option',
    ],
  ])('%s is rejected with a code', async (_, given, code) => {
    await expect(serve({ ...QUICK, ...given() })).rejects.toMatchObject({
      name: ConfigError.name,
      code,
    });
  });
});

describe('a unix socket', () => {
  test('serves, is removed at the end, and replaces a stale socket file', async () => {
    const unixSocket = join(folder, 'a.sock');
    const child = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(unixSocket)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    await once(child, 'exit');
    expect(existsSync(unixSocket)).toBe(true);
    const served = await open({ unixSocket });
    expect(served.url).toBe(`unix:${unixSocket}`);
    const asked = ask({ socketPath: unixSocket, path: '/healthz' }).end();
    const [answer] = await once(asked, 'response');
    expect(answer.statusCode).toBe(200);
    expect(await welcomed(`ws+unix://${unixSocket}:/ws`)).toContain('"welcome"');
    await expect(serve({ ...QUICK, unixSocket })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await served.close();
    expect(existsSync(unixSocket)).toBe(false);
  });
});

const hasSystemd = (() => {
  try {
    execFileSync('systemd-notify', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** Simulates systemd: passes a listening socket, prints its port and the notifications it gets. */
const MANAGER = `
import os, socket, sys
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(sys.argv[1])
listener = socket.create_server(('127.0.0.1', 0))
print('port', listener.getsockname()[1], flush=True)
child = os.fork()
if child == 0:
    os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
    env = dict(os.environ, LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', NOTIFY_SOCKET=sys.argv[1])
    os.execve(sys.argv[2], sys.argv[2:], env)
print('pid', child, flush=True)
listener.close()
for _ in range(2):
    print(notify.recv(4096).decode().replace('\\n', ' '), flush=True)
os.waitpid(child, 0)
`;

test.skipIf(!hasSystemd)(
  'systemd passes its socket, and is notified of start and stop',
  { timeout: 60_000 },
  async () => {
    const main = new URL('../dist/cli/main.js', import.meta.url).pathname;
    const manager = spawn(
      'python3',
      [
        '-c',
        MANAGER,
        join(folder, 'notify.sock'),
        process.execPath,
        main,
        'serve',
        '--drain-ms',
        '0',
        '--lame-duck-ms',
        '0',
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    onTestFinished(() => void manager.kill('SIGKILL'));
    const seen: string[] = [];
    let port = '';
    let pid = 0;
    for await (const line of createInterface({ input: manager.stdout })) {
      if (line.startsWith('port ')) port = line.slice(5);
      else if (line.startsWith('pid ')) pid = Number(line.slice(4));
      else if (line.includes('=1')) {
        seen.push(line);
        if (line.includes('READY=1')) {
          expect(await statusOf(`http://127.0.0.1:${port}/readyz`)).toBe(200);
          process.kill(pid, 'SIGTERM');
        }
      }
    }
    expect(seen).toEqual([
      expect.stringContaining('READY=1'),
      expect.stringContaining('STOPPING=1'),
    ]);
  },
);

test('a viewer of the live page does not delay a shutdown', async () => {
  const served = await open({ shutdownGraceMs: 60_000 });
  const viewer = await fetch(`${served.url}/v1/live`);
  expect(viewer.status).toBe(200);
  const ended = expect(viewer.text()).rejects.toThrow();
  const closed = await Promise.race([
    served.close(),
    new Promise((resolve) => setTimeout(resolve, 30_000, 'waits for the viewer').unref()),
  ]);
  expect(closed).toMatchObject({ waiting: [] });
  await ended;
});

test('a server that is closed before it listens never listens', async () => {
  const listen = vi.spyOn(Server.prototype, 'listen');
  onTestFinished(() => void listen.mockRestore());
  const stop = new AbortController();
  const serving = serve({ ...QUICK, signal: stop.signal });
  stop.abort();
  await expect(serving).rejects.toMatchObject({ code: 'shutting_down' });
  expect(listen).not.toHaveBeenCalled();
});

test('idle connections stay open longer than the usual timeouts of load balancers', async () => {
  const { url } = await open();
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
  const [chunk] = await once(socket, 'data');
  expect(Number(/keep-alive: timeout=(\d+)/i.exec(String(chunk))?.[1])).toBeGreaterThan(60);
});

test('a connection keeps nothing of the requests it has sent', async () => {
  const begun: WeakRef<IncomingMessage>[] = [];
  const { emit } = HttpServer.prototype;
  onTestFinished(() => {
    HttpServer.prototype.emit = emit;
  });
  HttpServer.prototype.emit = function (this: HttpServer, event: string, ...values: unknown[]) {
    if (event === 'request' || event === 'upgrade') begun.push(new WeakRef(values[0] as never));
    return Reflect.apply(emit, this, [event, ...values]);
  } as typeof emit;
  const { url } = await open();
  await welcomed(`${url.replace('http', 'ws')}/ws`);
  await welcomed(`${url.replace('http', 'ws')}/sockjs/000/session/websocket`);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  const body = '{"data":1}';
  const publish = `POST /v1/rooms/news/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  for (const text of ['GET /sockjs/info HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n', publish]) {
    socket.write(text);
    expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /);
  }
  await collectAll();
  expect(begun.map((each) => each.deref()?.url)).toEqual(Array(4).fill(undefined));
});
