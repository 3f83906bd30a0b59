import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { cpus } from 'node:os';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Starts and ends the measured processes, pins them to cores, and reads their CPU time and memory.
 */

const SERVER_CORE = 0;
const LOAD_CORE = 1;
const canPin = cpus().length >= 2 && spawnSync('taskset', ['--version']).status === 0;

export const placement = canPin
  ? `server on core ${SERVER_CORE}, load on core ${LOAD_CORE}`
  : 'not pinned: server and load share all cores';

/** @param {number} core @param {string[]} argv @returns {[string, string[]]} */
function pinned(core, argv) {
  const [command, ...args] = canPin ? ['taskset', '-c', `${core}`, ...argv] : argv;
  return [/** @type {string} */ (command), args];
}

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
process.on('exit', () => {
  for (const child of running) kill(child);
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.once(signal, () => process.exit(1));
}

/** Kills a process and its children: each has a process group of its own. @param {import('node:child_process').ChildProcess} child */
function kill(child) {
  running.delete(child);
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  process.kill(-child.pid, 'SIGKILL');
}

/**
 * @param {number} core
 * @param {string[]} argv
 * @param {import('node:child_process').SpawnOptions} options
 */
function start(core, argv, options) {
  const [command, args] = pinned(core, argv);
  const child = spawn(command, args, { ...options, detached: true });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/**
 * Starts a server on the server's core and waits until it accepts connections.
 *
 * @param {string[]} argv
 * @param {number} port
 * @returns {Promise<{ pid: number, stop: () => Promise<void> }>}
 * @throws {Error} if it exits, or does not listen within 15 s; the message contains its output
 */
export async function startServer(argv, port) {
  const child = start(SERVER_CORE, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output = (output + text).slice(-4000);
    });
  }
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const deadline = Date.now() + 15_000;
  while (!(await accepts(port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      kill(child);
      throw new Error(`${argv.join(' ')} does not listen on ${port}:\n${output}`);
    }
    await sleep(20);
  }
  const stop = async () => {
    kill(child);
    await exited;
  };
  return { pid: /** @type {number} */ (child.pid), stop };
}

/** @param {number} port @returns {Promise<boolean>} */
function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** @returns {Promise<number>} a free port */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/**
 * Runs a script of `load/` on the load's core.
 *
 * @param {string} script path of the module
 * @param {object} plan as documented in the script's header
 * @returns {{ measuring: () => Promise<unknown>, result: Promise<any>, say: (message: object) => void }} `measuring()` resolves
 *   when the script reports that it has begun to measure
 */
export function startLoad(script, plan) {
  const child = start(LOAD_CORE, [process.execPath, script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const measuring = new Promise((resolve) => {
    child.on(
      'message',
      (/** @type {any} */ { state }) => state === 'measuring' && resolve(undefined),
    );
  });
  const result = new Promise((resolve, reject) => {
    child.on('message', (/** @type {any} */ message) => message.state ?? resolve(message));
    child.once('exit', (code) =>
      reject(new Error(`load/${basename(script)} ended with ${code}, without a result`)),
    );
  });
  child.send(plan);
  return {
    measuring: () => Promise.race([measuring, result]),
    result,
    /** @param {object} message */
    say: (message) => void child.send(message),
  };
}

/**
 * Runs a program on the load's core; its stderr is shown.
 *
 * @param {string[]} argv
 * @returns {Promise<number>} its exit code
 * @throws {Error} if a signal ended it
 */
export function runLoadTool(argv) {
  const child = start(LOAD_CORE, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      code === null ? reject(new Error(`${argv.join(' ')}: ${signal}`)) : resolve(code),
    );
  });
}

/**
 * Runs a program on the load's core to its end, and captures its stdout.
 *
 * @param {string[]} argv
 * @param {Record<string, string>} [env] added to the environment
 * @returns {Promise<{ output: string, cores: number }>} its stdout, and the cores it used
 * @throws {Error} if it cannot be started
 */
export function runMeter(argv, env = {}) {
  const began = performance.now();
  const child = start(LOAD_CORE, argv, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  let used = 0;
  const watch = setInterval(() => {
    used = child.exitCode === null ? cpuSeconds(/** @type {number} */ (child.pid)) : used;
  }, 50);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      clearInterval(watch);
      resolve({ output, cores: (used * 1000) / (performance.now() - began) });
    });
  });
}

/** @param {number} pid @returns {number[]} */
export function childrenOf(pid) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}

/** @param {number} pid @returns {number[]} the process and all its descendants */
const tree = (pid) => [pid, ...childrenOf(pid).flatMap(tree)];

const TICKS_PER_SECOND = 100; // USER_HZ, 100 on every Linux Node runs on

/** @param {number} pid @returns {number} CPU seconds used so far, user and system, all threads and descendants */
export const cpuSeconds = (pid) => tree(pid).reduce((sum, id) => sum + ownCpuSeconds(id), 0);

/** @param {number} pid @returns {number} the same without descendants */
export function ownCpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** @returns {number} CPU seconds that the whole machine has used so far */
export function machineCpuSeconds() {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** A round is not quiet if other processes used more cores than this. */
export const DISTURBED_CORES = 0.1;
const LONGEST_WAIT_S = 60;

/** Resolves after a second in which the machine was idle, or after `LONGEST_WAIT_S`. */
export async function quiet() {
  for (let waited = 0; waited < LONGEST_WAIT_S; waited++) {
    const before = machineCpuSeconds();
    await sleep(1000);
    if (machineCpuSeconds() - before <= DISTURBED_CORES) return;
  }
}

/** @param {number} pid @returns {number} resident MiB of the process and its descendants */
export function residentMiB(pid) {
  let kib = 0;
  for (const id of tree(pid)) {
    kib += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1] ?? 0);
  }
  return kib / 1024;
}
