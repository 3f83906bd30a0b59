/**
 * How long one scrape of /metrics blocks the server's event loop, from the request to the end of its
 * response, and one tick of the live page's sampler with nobody, one and ten watching: median, p95 and
 * worst, in milliseconds; also in CPU time of the process, which other processes do not affect. 5,000
 * members in one room receive a message a second from another process; in the second part a tenth of
 * them has stopped reading. Build first (`npm run build`), then `node bench/micro/scrape.js [members]`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get, Server } from 'node:http';
import { loadavg } from 'node:os';
import { Crowd } from '../../dist/load/crowd.js';

const SCRAPES = 100;
const TICKS = 20;
const [count = '5000', crowdOf] = process.argv.slice(2);
const members = Number(count);

/** @typedef {{ wall: number, cpu: number }} Cost in milliseconds */

/** @type {Cost[]} */
const scrapes = [];
/** @type {Cost[]} */
const ticks = [];

/** @returns {Cost} */
function clocks() {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now(), cpu: (user + system) / 1e3 };
}

/** @param {Cost} before @returns {Cost} */
function since(before) {
  const now = clocks();
  return { wall: now.wall - before.wall, cpu: now.cpu - before.cpu };
}

/** Times the handler of a scrape. Nothing else runs meanwhile, as all that it awaits is settled. */
function timeScrapes() {
  const { emit } = Server.prototype;
  Server.prototype.emit = function timed(
    /** @type {string | symbol} */ event,
    /** @type {any[]} */ ...given
  ) {
    const [request, response] = given;
    if (event === 'request' && request.url === '/metrics') {
      const before = clocks();
      const { end } = response;
      response.end = (/** @type {string} */ text) => {
        end.call(response, text);
        scrapes.push(since(before));
      };
    }
    return emit.apply(this, /** @type {any} */ ([event, ...given]));
  };
}

/** Times the sampler's work each second: its timer is the only one here that calls `onSample`. */
function timeTicks() {
  const { setInterval } = globalThis;
  const timed = (/** @type {() => void} */ work, /** @type {number} */ ms) => {
    if (!String(work).includes('onSample')) return setInterval(work, ms);
    return setInterval(() => {
      const before = clocks();
      work();
      ticks.push(since(before));
    }, ms);
  };
  globalThis.setInterval = /** @type {typeof setInterval} */ (timed);
}

/** @param {number[]} times */
function quantiles(times) {
  const sorted = times.sort((a, b) => a - b);
  const at = (/** @type {number} */ q) =>
    sorted[Math.min(sorted.length - 1, q * sorted.length) | 0];
  return [0.5, 0.95, 1].map((q) => (at(q) ?? Number.NaN).toFixed(2).padStart(8)).join('');
}

/** @param {string} what @param {Cost[]} costs */
function say(what, costs) {
  const wall = quantiles(costs.map((cost) => cost.wall));
  const cpu = quantiles(costs.map((cost) => cost.cpu));
  const noted = `n=${costs.length} load=${loadavg()[0]?.toFixed(1)}`;
  console.log(`${what.padEnd(32)}${wall}   CPU${cpu}   ${noted}`);
  costs.length = 0;
}

/** @param {string} url @returns {Promise<string>} */
const fetched = (url) =>
  new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (more) => {
        text += more;
      });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });

const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function measure(/** @type {string} */ url, /** @type {string} */ state) {
  for (let n = 0; n < SCRAPES; n += 1) {
    await fetched(`${url}/metrics`);
    await pause(50);
  }
  say(`scrape, ${state}`, scrapes);
  /** @type {import('node:http').ClientRequest[]} */
  const watchers = [];
  for (const watching of [0, 1, 10]) {
    while (watchers.length < watching) {
      watchers.push(get(`${url}/v1/live`, { agent: false }, (stream) => stream.resume()));
    }
    for (const watcher of watchers) watcher.on('error', () => {});
    await pause(1000);
    ticks.length = 0;
    await pause(TICKS * 1000);
    say(`tick, ${watching} watching, ${state}`, ticks);
  }
  for (const watcher of watchers) watcher.destroy();
}

if (crowdOf !== undefined) {
  const scenario = { members: `${members}`, rate: '1/s', size: '128', roomPrefix: 'bench:' };
  const crowd = await Crowd.join(crowdOf, scenario, 'abcd');
  crowd.publish();
  process.send?.('joined');
} else {
  timeScrapes();
  timeTicks();
  const { startTestServer } = await import('../../dist/testing.js');
  const server = await startTestServer({ stallAfterMs: 3_600_000 });
  const url = server.httpUrl;
  const crowd = spawn(process.execPath, [process.argv[1] ?? '', count, url], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await once(crowd, 'message');
  console.log(`${members} members, Node ${process.version}; milliseconds: median, p95, worst`);
  await measure(url, 'all keep up');
  for (const { id } of server.members().slice(-members / 10)) server.stall(id);
  await pause(3000);
  await measure(url, 'a tenth behind');
  crowd.kill();
  await server.close();
}
