import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SECRET } from './load/tokens.js';

/**
 * The measured servers: how each is started, its version, and how to install it if it is missing.
 * `load/wires.js` has their protocols.
 *
 * @typedef {object} Target
 * @property {keyof typeof import('./load/wires.js').wires} wire
 * @property {() => string | null} missing how to install it; null if it is installed
 * @property {() => string[]} version command whose output contains the version
 * @property {(port: number) => string[]} start command that serves on 127.0.0.1:`port`
 */

/** @param {string} file */
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const require = createRequire(import.meta.url);
const node = process.execPath;

/** @param {string} name */
const programIn = (name) =>
  [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));

/** @param {string} module */
const installed = (module) => {
  try {
    return require.resolve(module);
  } catch {
    return undefined;
  }
};

/** @param {string} module @returns {string[]} */
const packageVersion = (module) => [
  node,
  '-p',
  `require(${JSON.stringify(`${module}/package.json`)}).version`,
];

/** @param {string} content @returns {string} path of a file in a temporary folder */
const temporary = (content) => {
  const path = join(mkdtempSync(join(tmpdir(), 'roomcast-bench-')), 'conf');
  writeFileSync(path, content);
  return path;
};

export const roomcastMain = here('../dist/cli/main.js');
// Where npm may run it, the install script of `bun` moves the program from its package for this machine
// to this place, which holds a few lines of shell before.
const bun = () =>
  [
    `@oven/bun-linux-${process.arch === 'arm64' ? 'aarch64' : process.arch}/bin/bun`,
    'bun/bin/bun.exe',
  ]
    .map(installed)
    .find((path) => path !== undefined && statSync(path).size > 2 ** 20);
const nchanModule = '/usr/lib/nginx/modules/ngx_nchan_module.so';

const NPM = 'run `npm ci` in bench/';

/**
 * roomcast with its defaults, except the publish rate limit, which a single publisher would hit.
 *
 * @param {Target['wire']} wire
 * @param {{ node?: string[], serve?: string[], main?: string }} [how] flags; `main` of another build
 * @returns {Target}
 */
const roomcastWith = (wire, { node: flags = [], serve = [], main = roomcastMain } = {}) => ({
  wire,
  missing: () => (existsSync(main) ? null : 'run `npm ci` and `npm run build` in its root'),
  version: () => [node, main, '--version'],
  start: (port) => [
    node,
    ...flags,
    main,
    'serve',
    '--port',
    `${port}`,
    '--publish-rate',
    '0',
    ...serve,
  ],
});

/**
 * A peer that is one of our scripts on top of a package.
 *
 * @param {Target['wire']} wire
 * @param {string} module
 * @param {string} script
 * @returns {Target}
 */
const scriptOn = (wire, module, script) => ({
  wire,
  missing: () => (installed(module) ? null : NPM),
  version: () => packageVersion(module),
  start: (port) => [node, here(script), `${port}`],
});

export const roomcast = roomcastWith('roomcast');
/**
 * The build of the checkout in `folder`, without heartbeats, which members of the load do not answer.
 *
 * @param {string} folder
 */
export const roomcastIn = (folder) =>
  roomcastWith('roomcast', {
    main: join(resolve(folder), 'dist/cli/main.js'),
    serve: ['--heartbeat-ms', '86400000'],
  });
export const roomcastUncounted = roomcastWith('roomcast', {
  node: ['--import', here('peers/uncounted.js')],
  serve: ['--lock-detector', 'off'],
});
/** With history, and limits raised for many members, some of which stay silent for long. */
export const roomcastKeeping = roomcastWith('roomcast', {
  serve: [
    ...['--history-messages', '1000', '--max-connections', '0'],
    ...['--heartbeat-ms', '86400000', '--first-frame-ms', '86400000'],
  ],
});
/** Several processes that share the server's core: the overhead of workers. */
export const roomcastWorkers = (/** @type {number} */ workers) =>
  roomcastWith('roomcast', { serve: ['--workers', `${workers}`] });
/** With tokens, checked by a secret or by `pem`; anonymous members may do everything. */
const roomcastKnowing = (
  /** @type {Target['wire']} */ wire,
  /** @type {string[]} */ keys,
  /** @type {string[]} */ serve = [],
) => roomcastWith(wire, { serve: [...keys, ...serve] });
const MANY_IDLE = [
  ...['--anonymous', 'true', '--join-by', 'anyone', '--publish-by', 'anyone'],
  ...['--max-connections', '0', '--heartbeat-ms', '86400000', '--first-frame-ms', '86400000'],
];
export const roomcastWithTokens = roomcastKnowing('roomcast-known', ['--token-secret', SECRET]);
/** The same with the features of a chat: history and presence. */
export const roomcastWithAll = roomcastKnowing(
  'roomcast-present',
  ['--token-secret', SECRET],
  ['--history-messages', '100', '--presence', 'users'],
);
export const roomcastWithSecret = roomcastKnowing(
  'roomcast',
  ['--token-secret', SECRET],
  [...MANY_IDLE, '--presence', 'users'],
);
/** @param {string} pem */
export const roomcastWithKey = (pem) =>
  roomcastKnowing('roomcast', ['--token-key-file', temporary(pem)], MANY_IDLE);
export const roomcastSockjs = roomcastWith('sockjs');
export const roomcastStreaming = roomcastWith('sockjs-streaming');
export const sockjsLoop = scriptOn('sockjs', 'sockjs', 'peers/sockjs-loop.js');
export const sockjsLoopStreaming = scriptOn('sockjs-streaming', 'sockjs', 'peers/sockjs-loop.js');
/** Has a defect that `isolation.js` must find. */
export const wsAwaiting = scriptOn('relay', 'ws', 'peers/ws-awaiting.js');
/** Serves HTTP only. */
export const bareRoute = scriptOn('relay', 'fastify', 'peers/fastify.js');

/**
 * Other servers, by their names in tables, in the order they are measured: first those that roomcast is
 * compared with, so that little time passes between the two.
 *
 * @satisfies {Record<string, Target>}
 */
export const peers = {
  Bun: {
    wire: 'relay',
    missing: () => (bun() ? null : NPM),
    version: () => [bun() ?? 'bun', '--version'],
    start: (port) => [bun() ?? 'bun', here('peers/bun.js'), `${port}`],
  },
  'ws loop': scriptOn('relay', 'ws', 'peers/ws-loop.js'),
  'Socket.IO': scriptOn('socket.io', 'socket.io', 'peers/socket.io.js'),
  NATS: {
    wire: 'nats',
    missing: () => (programIn('nats-server') ? null : 'apt install nats-server'),
    version: () => [programIn('nats-server') ?? 'nats-server', '--version'],
    start: (port) => [
      programIn('nats-server') ?? 'nats-server',
      '--config',
      temporary(
        `port: -1\nhost: 127.0.0.1\nwebsocket { host: 127.0.0.1, port: ${port}, no_tls: true }\n`,
      ),
    ],
  },
  nchan: {
    wire: 'nchan',
    missing: () =>
      programIn('nginx') && existsSync(nchanModule) ? null : 'apt install libnginx-mod-nchan',
    version: () => ['sh', '-c', 'nginx -v 2>&1; dpkg-query -W libnginx-mod-nchan'],
    start: (port) => [
      programIn('nginx') ?? 'nginx',
      '-c',
      temporary(readFileSync(here('peers/nchan.conf'), 'utf8').replace('%PORT%', `${port}`)),
    ],
  },
};
