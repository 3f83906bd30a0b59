import { fileURLToPath } from 'node:url';
import { hs256, KNOWN_USER, rs256 } from './load/tokens.js';
import { childrenOf, freePort, startLoad, startServer } from './process.js';
import {
  bareRoute,
  peers,
  roomcast,
  roomcastKeeping,
  roomcastSockjs,
  roomcastStreaming,
  roomcastUncounted,
  roomcastWithAll,
  roomcastWithKey,
  roomcastWithSecret,
  roomcastWithTokens,
  roomcastWorkers,
  sockjsLoop,
  sockjsLoopStreaming,
} from './targets.js';

/**
 * The scenarios of `run.js`. A scenario has series; each round measures each series once, on a new server.
 *
 * @typedef {Record<string, number>} Figures
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {() => string | null} missing how to install it; null if it can run
 * @property {(seconds: number) => Promise<Figures>} measure measures for that long
 *
 * @typedef {object} Scenario
 * @property {string} id as given to `--only`; scenarios with the same number belong together
 * @property {string} title
 * @property {string[]} figures columns, in this order
 * @property {Series[]} series measured in turns
 */

/** @param {string} file */
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const FAN_OUT = here('load/fanout.js');
const COMERS = 'load/comers.js';
const RECOVER = 'load/recover.js';

/** Relative tolerance of a delivery's bytes to roomcast's: `seq` has more digits, frames are joined. */
const BYTES_TOLERANCE = 0.05;
const SETTLE = 2;

/** @typedef {import('./targets.js').Target} Target */
/** @typedef {import('./load/fanout.js').Plan} Plan */

/**
 * @template T
 * @param {Target} target
 * @param {(server: { port: number, pid: number }) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withServer(target, use) {
  const port = await freePort();
  const { pid, stop } = await startServer(target.start(port), port);
  try {
    return await use({ port, pid });
  } finally {
    await stop();
  }
}

/**
 * @param {Target} target
 * @param {Omit<Plan, 'port' | 'pid' | 'wire' | 'warm'> & { warm?: number }} load
 * @param {(port: number) => Promise<void>} [check] run against the server afterwards
 * @returns {Promise<Figures>}
 * @throws {Error} if a delivery had other bytes than one of roomcast
 */
export function fanOut(target, load, check = async () => {}) {
  return withServer(target, async ({ port, pid }) => {
    const plan = { warm: SETTLE, ...load, port, pid, wire: target.wire };
    /** @type {Figures} */
    const result = await startLoad(FAN_OUT, plan).result;
    const { deliveries = 0, bytes = 0, expectedBytes = 1 } = result;
    if (deliveries > 0 && Math.abs(bytes / expectedBytes - 1) > BYTES_TOLERANCE) {
      throw new Error(`${bytes.toFixed(1)} bytes per delivery, not ${expectedBytes}`);
    }
    await check(port);
    return result;
  });
}

/**
 * @param {Record<string, Target>} targets
 * @param {Omit<Plan, 'port' | 'pid' | 'wire' | 'warm' | 'seconds'>} load
 * @returns {Series[]}
 */
const eachUnder = (targets, load) =>
  Object.entries(targets).map(([name, target]) => ({
    name,
    missing: target.missing,
    measure: (seconds) => fanOut(target, { ...load, seconds }),
  }));

const everyone = { roomcast, ...peers };
/** The servers that limits compare. */
const compared = { roomcast, Bun: peers.Bun, 'ws loop': peers['ws loop'] };
const one = { members: 1000, rooms: 1, size: 128 };
// With many small rooms more code runs, and compiling all of it takes longer.
const many = { members: 2000, rooms: 200, size: 128, warm: 4 };

/** How long a server is cold after its start. */
const COLD_SECONDS = 2;

/** @param {Record<string, Target>} targets @param {Omit<Plan, 'port' | 'pid' | 'wire' | 'warm' | 'seconds'>} load */
const eachColdUnder = (targets, load) =>
  Object.entries(targets).map(([name, target]) => ({
    name,
    missing: target.missing,
    measure: () => fanOut(target, { ...load, warm: 0, seconds: COLD_SECONDS }),
  }));

/**
 * Loads of fan-out, by the scenario's id.
 *
 * @typedef {{ members: number, rooms: number, size: number, window?: number, rate?: number, warm?: number }} Load
 * @satisfies {Record<string, Load>}
 */
export const fanOuts = {
  P1: { ...one, window: 64 },
  P2: { ...one, window: 1 },
  'P3 closed': { ...many, window: 2000 },
  'P3 open': { ...many, rate: 8000 },
};

/**
 * P1, P2 and P3 with a feature on and off.
 *
 * @param {Record<string, Target>} targets
 * @returns {Series[]}
 */
const onAndOff = (targets) =>
  Object.entries({ P1: fanOuts.P1, P2: fanOuts.P2, P3: fanOuts['P3 closed'] }).flatMap(
    ([load, plan]) =>
      eachUnder(targets, plan).map((series) => ({ ...series, name: `${load}, ${series.name}` })),
  );

const PER_DELIVERY = ['cpuUs', 'deliveriesPerSecond', 'p50Us', 'p99Us', 'serverCores', 'loadCores'];
const MEMORY = ['rssGrowthMiB', 'rssMiB'];

// More than the kernel buffers plus the queue's limit of a member that does not read.
const FILL_BYTES = 8 * 1024 * 1024;

/** @type {Scenario[]} */
export const scenarios = [
  {
    id: 'P1',
    title: 'one room of 1,000, 128 B, 64 messages in flight',
    figures: PER_DELIVERY,
    series: eachUnder(everyone, fanOuts.P1),
  },
  {
    id: 'P2',
    title: 'one room of 1,000, 128 B, one message at a time',
    figures: PER_DELIVERY,
    series: eachUnder(everyone, fanOuts.P2),
  },
  {
    id: 'P3 closed',
    title: '200 rooms of 10, 128 B, 2,000 messages in flight in total',
    figures: ['deliveriesPerCpuSecond', ...PER_DELIVERY],
    series: eachUnder(everyone, fanOuts['P3 closed']),
  },
  {
    id: 'P3 open',
    title: '200 rooms of 10, 128 B, 8,000 messages a second in total',
    figures: [...PER_DELIVERY, 'p999Us', 'lateSendP99Us'],
    series: eachUnder(everyone, fanOuts['P3 open']),
  },
  {
    id: 'P3 closed cold',
    title: 'P3 closed in the first 2 s of a server that has just been started',
    figures: ['deliveriesPerCpuSecond', ...PER_DELIVERY],
    series: eachColdUnder(compared, fanOuts['P3 closed']),
  },
  {
    id: 'P3 open cold',
    title: 'P3 open in the first 2 s of a server that has just been started',
    figures: [...PER_DELIVERY, 'p999Us', 'lateSendP99Us'],
    series: eachColdUnder(compared, fanOuts['P3 open']),
  },
  {
    id: 'P4',
    title: '8 KiB at a third of roomcast’s capacity, some members never reading',
    figures: ['p99Us', 'p50Us', 'missedOrLate', 'messagesPerSecond', 'cpuUs', ...MEMORY],
    series: slowMembers(),
  },
  {
    id: 'P5',
    title: '200 joins and 200 leaves a second in a room of 9,000 that gets 20 messages a second',
    figures: ['joinP50Ms', 'joinP99Ms', 'joinMaxMs', 'joins', 'serverCores', 'loadCores', 'p99Us'],
    series: joins(),
  },
  {
    id: 'P6',
    title: 'HTTP publish of 128 B to a room of one, 50 connections',
    figures: ['requestsPerSecond', 'httpP99Ms', 'serverCores', 'loadCores'],
    series: httpPublish(),
  },
  {
    id: 'P7',
    title: '8,000 idle connections in 800 rooms',
    figures: ['connectionKiB', 'rssMiB'],
    series: eachUnder(everyone, { members: 8000, rooms: 800, size: 128 }),
  },
  {
    id: 'P8',
    title: '1,000 members of one room that never read, 2 KiB messages, queues at their limit',
    figures: [...MEMORY, 'missedOrLate'],
    series: eachUnder(
      { roomcast, Bun: peers.Bun },
      { ...one, members: 1001, size: 2048, stalled: 1000, fill: FILL_BYTES, rate: 50 },
    ),
  },
  {
    id: 'P9 websocket',
    title: 'P1 over SockJS, WebSocket transport',
    figures: PER_DELIVERY,
    series: eachUnder({ roomcast: roomcastSockjs, 'sockjs loop': sockjsLoop }, fanOuts.P1),
  },
  {
    id: 'P9 streaming',
    title: 'P1 over SockJS, xhr-streaming',
    figures: PER_DELIVERY,
    series: eachUnder(
      { roomcast: roomcastStreaming, 'sockjs loop': sockjsLoopStreaming },
      fanOuts.P1,
    ),
  },
  {
    id: 'P10',
    title: 'metrics and lock detector on (the default) and off',
    figures: PER_DELIVERY,
    series: Object.entries({ P1: fanOuts.P1, P2: fanOuts.P2 }).flatMap(([name, load]) =>
      Object.entries({ on: roomcast, off: roomcastUncounted }).map(([state, target]) => ({
        name: `${name}, ${state}`,
        missing: target.missing,
        measure: (seconds) =>
          fanOut(target, { ...load, seconds }, (port) => checkCounts(port, state === 'on')),
      })),
    ),
  },
  {
    id: 'P11',
    title: '1,000 members a second authenticate, beside 1,000 that get 50 messages a second',
    figures: ['p99Us', 'p50Us', 'missedOrLate', 'came', 'comeP99Ms', 'serverCores', 'loadCores'],
    series: tokens(),
  },
  {
    id: 'P12',
    title: '10,000 members recover 100 messages of 200 B, beside 1,000 that get 50 a second',
    figures: [
      ...['p99Us', 'p50Us', 'missedOrLate', 'recovered', 'recoverSeconds', 'recoverP99Ms'],
      ...['leftMiB', 'serverCores', 'loadCores'],
    ],
    series: recoveries(),
  },
  {
    id: 'P13',
    title: 'a room fills to 10,000 presence watchers, beside 1,000 members that get 50 a second',
    figures: [
      ...['p99Us', 'p50Us', 'missedOrLate', 'came', 'comeP99Ms', 'comeCpuSeconds'],
      ...['serverCores', 'loadCores'],
    ],
    series: filling(),
  },
  {
    id: 'P14',
    title: 'P1, P2 and P3 with a history of 1,000 messages per room, and without (the default)',
    figures: PER_DELIVERY,
    series: onAndOff({ kept: roomcastKeeping, none: roomcast }),
  },
  {
    id: 'P15',
    title: 'P1 and P3 with one process, and with two and four workers, on one core',
    figures: PER_DELIVERY,
    series: Object.entries({ P1: fanOuts.P1, P3: fanOuts['P3 closed'] }).flatMap(([name, load]) =>
      [roomcast, roomcastWorkers(1), roomcastWorkers(2), roomcastWorkers(4)].map((target, i) => ({
        name: `${name}, ${['as by default', 'workers 1', 'workers 2', 'workers 4'][i]}`,
        missing: target.missing,
        measure: (seconds) => fanOut(target, { ...load, seconds }),
      })),
    ),
  },
  {
    id: 'P16',
    title: 'P1, P2 and P3 with members that have tokens, and without (the default)',
    figures: PER_DELIVERY,
    series: onAndOff({ known: roomcastWithTokens, off: roomcast }),
  },
  {
    id: 'P17',
    title: 'one of two workers is killed: time until each of 16 rooms accepts a publish again',
    figures: ['acceptMs'],
    series: [{ name: 'roomcast', missing: roomcast.missing, measure: takeover }],
  },
  {
    id: 'P18',
    title:
      '1,000 publishers in 1,000 rooms of 3, 8,000 messages a second: all features on, and off',
    figures: [...PER_DELIVERY, 'rssMiB'],
    series: Object.entries({ 'all on': roomcastWithAll, off: roomcast }).map(([name, target]) => ({
      name,
      missing: target.missing,
      measure: (seconds) =>
        fanOut(target, { members: 3000, rooms: 1000, size: 128, rate: 8000, seconds }),
    })),
  },
];

/**
 * Kills one of two workers; half of the rooms belong to it.
 *
 * @returns {Promise<Figures>}
 */
export function takeover() {
  return withServer(roomcastWorkers(2), async ({ port, pid }) => {
    const publish = async (/** @type {number} */ room) => {
      const url = `http://127.0.0.1:${port}/v1/rooms/bench:${room}/messages`;
      const headers = { 'content-type': 'application/json', connection: 'close' };
      const signal = AbortSignal.timeout(1000);
      const init = { method: 'POST', headers, body: '{"data":1}', signal };
      // The connection itself may go to the killed worker too.
      return fetch(url, init).then(
        ({ ok }) => ok,
        () => false,
      );
    };
    const rooms = Array.from({ length: 16 }, (_, n) => n);
    await Promise.all(rooms.map(publish));
    process.kill(/** @type {number} */ (childrenOf(pid)[0]), 'SIGKILL');
    const killed = performance.now();
    const untilAccepted = async (/** @type {number} */ room) => {
      while (!(await publish(room)));
    };
    await Promise.all(rooms.map(untilAccepted));
    return { acceptMs: performance.now() - killed };
  });
}

/**
 * Measures the members of one room while other members arrive, or do not.
 *
 * @param {string} script of `load/`: how the others arrive
 * @param {string} name
 * @param {Target} target
 * @param {(seconds: number) => object} coming the rest of the script's plan
 * @param {boolean} [areComing]
 * @returns {Series}
 */
function beside(script, name, target, coming, areComing = true) {
  /** @type {Series['measure']} */
  const measure = (seconds) =>
    withServer(target, async ({ port, pid }) => {
      const others = startLoad(here(script), { port, pid, over: seconds, ...coming(seconds) });
      await others.measuring();
      const load = { ...one, rate: 50, warm: SETTLE, seconds, port, pid, wire: target.wire };
      const staying = startLoad(FAN_OUT, load);
      await staying.measuring();
      others.say({ areComing });
      const [fanned, { cores = 0, ...came }] = await Promise.all([staying.result, others.result]);
      const { loadCores = 0, foreignCores = 0 } = fanned;
      const used = { loadCores: loadCores + cores, foreignCores: foreignCores - cores };
      return { ...fanned, ...came, ...used };
    });
  return { name, missing: target.missing, measure };
}

/** @returns {Series[]} */
function tokens() {
  const { pem, token } = rs256();
  const withKey = roomcastWithKey(pem);
  /** @param {string} each */
  const plan = (each) => (/** @type {number} */ seconds) => ({
    members: 1000 * seconds,
    token: each,
  });
  const secret = plan(hs256(KNOWN_USER));
  return [
    beside(COMERS, 'alone', roomcastWithSecret, secret, false),
    beside(COMERS, 'beside HS256', roomcastWithSecret, secret),
    beside(COMERS, 'beside RS256', withKey, plan(token(KNOWN_USER))),
  ];
}

/** @returns {Series[]} */
function filling() {
  const plan = (/** @type {boolean} */ presence) => () => ({ members: 10_000, presence });
  return [
    beside(COMERS, 'alone', roomcastWithSecret, plan(false), false),
    beside(COMERS, 'beside joins', roomcastWithSecret, plan(false)),
    beside(COMERS, 'beside joins that watch', roomcastWithSecret, plan(true)),
  ];
}

/** @returns {Series[]} */
function recoveries() {
  const plan = (/** @type {boolean} */ reading) => (/** @type {number} */ seconds) => ({
    members: 10_000,
    messages: 100,
    size: 200,
    over: seconds / 2,
    reading,
  });
  return [
    beside(RECOVER, 'alone', roomcastKeeping, plan(false), false),
    beside(RECOVER, 'beside joins', roomcastKeeping, plan(false)),
    beside(RECOVER, 'beside recoveries', roomcastKeeping, plan(true)),
  ];
}

/**
 * @param {number} port
 * @param {boolean} expected
 * @throws {Error} if a server that should count messages does not, or the other way round
 */
async function checkCounts(port, expected) {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const published = /^roomcast_published_total (\d+)$/m.exec(metrics)?.[1];
  if (published === undefined || Number(published) > 0 !== expected) {
    throw new Error(`the server counted ${published} messages`);
  }
}

/** @returns {Series[]} */
function slowMembers() {
  const load = { rooms: 1, size: 8192 };
  /** @type {number | undefined} */
  let rate; // messages a second, the same for every series of a run
  const shares = [
    { name: '1000', members: 1000, stalled: 0 },
    { name: '900', members: 900, stalled: 0 },
    { name: '900 + 100 stalled', members: 1000, stalled: 100 },
    { name: '500', members: 500, stalled: 0 },
    { name: '500 + 500 stalled', members: 1000, stalled: 500 },
  ];
  return Object.entries({ roomcast, Bun: peers.Bun }).flatMap(([name, target]) =>
    shares.map(({ name: share, members, stalled }) => ({
      name: `${name}, ${share}`,
      missing: () => target.missing() ?? roomcast.missing(),
      measure: async (seconds) => {
        rate ??= await thirdOfCapacity({ ...load, seconds });
        return fanOut(target, { ...load, seconds, members, stalled, fill: FILL_BYTES, rate });
      },
    })),
  );
}

/**
 * @param {{ rooms: number, size: number, seconds: number }} load
 * @returns {Promise<number>} messages a second
 */
async function thirdOfCapacity(load) {
  // Enough messages in flight that the server is never idle, and few compared with a member's queue.
  const { messagesPerSecond = 0 } = await fanOut(roomcast, { ...load, members: 1000, window: 8 });
  return Math.round(messagesPerSecond / 3);
}

/** @returns {Series[]} */
function joins() {
  /** @type {Series['measure']} */
  const measure = (seconds) =>
    withServer(roomcast, async ({ port, pid }) => {
      // The messages go on while the churn script starts (beside a load that leaves it little CPU) and
      // warms up. They also outlast it: the end closes 9,000 connections, which joins must not wait for.
      const lasting = seconds + 4 * SETTLE;
      const plan = { members: 9000, rooms: 1, size: 128, rate: 20, warm: SETTLE, seconds: lasting };
      const load = startLoad(FAN_OUT, { ...plan, port, pid, wire: roomcast.wire });
      await load.measuring();
      const churn = { port, room: 'bench:0000', perSecond: 200, warm: SETTLE, seconds };
      const { cores = 0, ...joined } = await Promise.race([
        startLoad(here('load/churn.js'), churn).result,
        load.result.then(() => {
          throw new Error('the messages ended before the joins');
        }),
      ]);
      const fanned = await load.result;
      const { loadCores = 0, foreignCores = 0 } = fanned;
      // The churn script's CPU is load as well.
      const used = { loadCores: loadCores + cores, foreignCores: foreignCores - cores };
      return { ...fanned, ...joined, ...used };
    });
  return [{ name: 'roomcast', missing: roomcast.missing, measure }];
}

/** @returns {Series[]} */
function httpPublish() {
  const body = JSON.stringify({ data: 'x'.repeat(128) });
  /** @param {number} pid @param {string} url @param {number} seconds @returns {Promise<Figures>} */
  const publish = (pid, url, seconds) =>
    startLoad(here('load/http.js'), { url, pid, body, connections: 50, seconds }).result;
  return [
    {
      name: 'roomcast',
      missing: roomcast.missing,
      measure: (seconds) =>
        withServer(roomcast, async ({ port, pid }) => {
          // One member, so that the room exists and a publish is delivered.
          const plan = { members: 1, rooms: 1, size: 128, warm: 0, seconds: seconds + 3 };
          const member = startLoad(FAN_OUT, { ...plan, port, pid, wire: roomcast.wire });
          await member.measuring();
          const url = `http://127.0.0.1:${port}/v1/rooms/bench:0000/messages`;
          const figures = await publish(pid, url, seconds);
          await member.result;
          return figures;
        }),
    },
    {
      name: 'bare route',
      missing: bareRoute.missing,
      measure: (seconds) =>
        withServer(bareRoute, ({ port, pid }) =>
          publish(pid, `http://127.0.0.1:${port}/publish`, seconds),
        ),
    },
  ];
}
