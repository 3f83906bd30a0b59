/**
 * How long a server's loop is taken by one scrape of /metrics, from the request until its answer is
 * handed over, and by one tick of the live page's sampler with nobody, one and ten watching: median,
 * p95 and worst, in milliseconds. 5,000 members in one room get a message a second from another
 * process; the second time a tenth of them has stopped reading and is behind. Build first (`npm run
 * build`), then `node bench/micro/scrape.js [members]`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get, Server } from 'node:http';
import { loadavg } from 'node:os';
import { Crowd } from '../../dist/cli/crowd.js';

const SCRAPES = 100;
const TICKS = 20;
const [count = '5000', crowdOf] = process.argv.slice(2);
const members = Number(count);

/** @type {number[]} */
const scrapes = [];
/** @type {number[]} */
const ticks = [];

/** Times what answers a scrape: nothing else runs meanwhile, as all that it awaits is settled. */
function timeScrapes() {
  const { emit } = Server.prototype;
  Server.prototype.emit = function timed(
    /** @type {string | symbol} */ event,
    /** @type {any[]} */ ...given
  ) {
    const [request, response] = given;
    if (event === 'request' && request.url === '/metrics') {
      const since = performance.now();
      const { end } = response;
      response.end = (/** @type {string} */ text) => {
        end.call(response, text);
        scrapes.push(performance.now() - since);
      };
    }
    return emit.apply(this, /** @type {any} */ ([event, ...given]));
  };
}

/** Times what the sampler does each second: it is the one timer here that tells of a sample. */
function timeTicks() {
  const { setInterval } = globalThis;
  const timed = (/** @type {() => void} */ work, /** @type {number} */ ms) => {
    if (!String(work).includes('onSample')) return setInterval(work, ms);
    return setInterval(() => {
      const since = performance.now();
      work();
      ticks.push(performance.now() - since);
    }, ms);
  };
  globalThis.setInterval = /** @type {typeof setInterval} */ (timed);
}

/** @param {string} what @param {number[]} times */
function say(what, times) {
  const sorted = times.splice(0).sort((a, b) => a - b);
  const at = (/** @type {number} */ q) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN).toFixed(2);
  console.log(
    `${what.padEnd(44)} ${[at(0.5), at(0.95), at(1)].map((text) => text.padStart(8)).join('')}   n=${sorted.length} load=${loadavg()[0]?.toFixed(1)}`,
  );
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
  const crowd = new Crowd(crowdOf, 'bench:room');
  await crowd.join(members);
  crowd.publish(1, 128);
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
