/**
 * nginx, HAProxy and Caddy from Debian, each started on a free port with one of our configurations: the
 * one in `deploy/proxies/`, or the simplest one a user would write.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { freePort } from './free-port.js';

export const PROXIES = ['nginx', 'haproxy', 'caddy'] as const;
export type ProxyName = (typeof PROXIES)[number];

/** A configuration of `deploy/proxies/`, unchanged. */
const shipped = (file: string): string =>
  readFileSync(new URL(`../../deploy/proxies/${file}`, import.meta.url), 'utf8');

interface Where {
  /** Port of the proxy. */
  readonly port: number;
  /** `host:port` of each server. */
  readonly servers: readonly string[];
  /** Path prefix: `/`, or a path without a trailing slash. */
  readonly prefix: string;
}

/** Replaces parts of a text, each of which must occur in it. */
function changed(text: string, changes: readonly (readonly [from: string, to: string])[]): string {
  return changes.reduce((all, [from, to]) => {
    if (!all.includes(from)) throw new Error(`The configuration has no "${from}".`);
    return all.replace(from, () => to);
  }, text);
}

interface Proxy {
  /** The shipped configuration with other ports, below a prefix as its comment says. */
  ours(where: Where): string;
  /** What a user writes without reading the documentation. */
  simplest(where: Where): string;
  /** What the program needs around the configuration, and its arguments. */
  files(config: string, folder: string): { config: string; args: (file: string) => string[] };
}

const HAPROXY_SIMPLEST =
  'defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n';

const KINDS: Record<ProxyName, Proxy> = {
  nginx: {
    ours: ({ port, servers, prefix }) =>
      changed(shipped('nginx.conf'), [
        ['listen 80;', `listen 127.0.0.1:${port};`],
        ['server 127.0.0.1:8080;', servers.map((server) => `server ${server};`).join(' ')],
        ['location / {', `location ${prefix === '/' ? '/' : `${prefix}/`} {`],
      ]),
    simplest: ({ port, servers }) =>
      `server { listen 127.0.0.1:${port}; location / { proxy_pass http://${servers[0]}; } }`,
    files: (config, folder) => ({
      config: `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
${config}
}
`,
      args: (file) => ['-p', folder, '-c', file],
    }),
  },
  haproxy: {
    ours: ({ port, servers, prefix }) =>
      changed(shipped('haproxy.cfg'), [
        ['bind :80', `bind 127.0.0.1:${port}`],
        [
          'server a 127.0.0.1:8080\n    server b 127.0.0.1:8090',
          servers.map((server, i) => `server s${i} ${server}`).join('\n    '),
        ],
        ...(prefix === '/'
          ? []
          : ([
              [
                '    default_backend roomcast',
                `    use_backend roomcast if { path_beg ${prefix}/ }`,
              ],
              ['uri /readyz', `uri ${prefix}/readyz`],
            ] as const)),
      ]),
    simplest: ({ port, servers }) =>
      `${HAPROXY_SIMPLEST}frontend f\n  bind 127.0.0.1:${port}\n  default_backend b\nbackend b\n  server s ${servers[0]}\n`,
    files: (config) => ({ config, args: (file) => ['-db', '-f', file] }),
  },
  caddy: {
    ours: ({ port, servers, prefix }) =>
      changed(shipped('Caddyfile'), [
        ['rooms.example.com {', `http://:${port} {\n\tbind 127.0.0.1`],
        [
          '\treverse_proxy 127.0.0.1:8080 {',
          `\treverse_proxy ${prefix === '/' ? '' : `${prefix}/* `}${servers.join(' ')} {`,
        ],
      ]),
    simplest: ({ port, servers }) =>
      `http://:${port} {\n\tbind 127.0.0.1\n\treverse_proxy ${servers[0]}\n}\n`,
    files: (config) => ({
      config: `{\n\tadmin off\n}\n${config}`,
      args: (file) => ['run', '--config', file, '--adapter', 'caddyfile'],
    }),
  },
};

/** Resolves with its URL once it accepts connections. It ends with the test. */
export async function startProxy(
  name: ProxyName,
  kind: 'ours' | 'simplest',
  { servers, prefix = '/' }: { servers: readonly string[]; prefix?: string },
): Promise<string> {
  const port = await freePort();
  return run(name, KINDS[name][kind]({ port, servers, prefix }), port);
}

/** HAProxy in TCP mode, which sends client addresses by this version of the PROXY protocol. */
export async function startTcpProxy(server: string, version: 1 | 2): Promise<string> {
  const port = await freePort();
  const send = version === 1 ? 'send-proxy' : 'send-proxy-v2';
  const text = HAPROXY_SIMPLEST.replace('mode http', 'mode tcp');
  return run(
    'haproxy',
    `${text}listen l\n  bind 127.0.0.1:${port}\n  server s ${server} ${send}\n`,
    port,
  );
}

/** Runs a configuration that listens on `port`. */
async function run(name: ProxyName, text: string, port: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), `roomcast-${name}-`));
  const { config, args } = KINDS[name].files(text, folder);
  const file = join(folder, 'config');
  writeFileSync(file, config);
  const child = spawn(name, args(file), {
    env: { PATH: '/usr/sbin:/usr/bin:/bin', HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  const ended = new Promise<void>((resolve) => child.once('close', resolve));
  onTestFinished(async () => {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 2000);
    await ended;
    clearTimeout(late);
    rmSync(folder, { recursive: true, force: true });
  });
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`${name} did not start: ${said}\n${config}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return `http://127.0.0.1:${port}`;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
