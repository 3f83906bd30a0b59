import { fileURLToPath } from 'node:url';
import { freePort, startLoad, startServer } from './process.js';
import {
  bareRoute,
  peers,
  roomcast,
  roomcastSockjs,
  roomcastStreaming,
  roomcastUncounted,
  sockjsLoop,
  sockjsLoopStreaming,
} from './targets.js';

/**
 * What is measured. A scenario has series; a round measures each series once, on a server of its own.
 *
 * @typedef {Record<string, number>} Figures
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {() => string | null} missing what to install, null when it can run
 * @property {(seconds: number) => Promise<Figures>} measure for so long
 *
 * @typedef {object} Scenario
 * @property {string} id as `--only` takes it; scenarios of one number go together
 * @property {string} title
 * @property {string[]} figures shown, in this order
 * @property {Series[]} series
 */

/** @param {string} file */
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const FAN_OUT = here('load/fanout.js');

/** Bytes a delivery may differ from those of roomcast's: digits of `seq`, several frames in one. */
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
async function withServer(target, use) {
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
 * @param {Omit<Plan, 'port' | 'pid' | 'wire' | 'warm'>} load
 * @param {(port: number) => Promise<void>} [check] made of the server afterwards
 * @returns {Promise<Figures>}
 * @throws {Error} when a delivery had other bytes than roomcast's has
 */
function fanOut(target, load, check = async () => {}) {
  return withServer(target, async ({ port, pid }) => {
    const plan = { ...load, port, pid, wire: target.wire, warm: SETTLE };
    /** @type {Figures} */
    const result = await startLoad(FAN_OUT, plan).result;
    const { deliveries = 0, bytes = 0, expectedBytes = 1 } = result;
    if (deliveries > 0 && Math.abs(bytes / expectedBytes - 1) > BYTES_TOLERANCE) {
      throw new Error(`${bytes.toFixed(1)} bytes a delivery, not ${expectedBytes}`);
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
const one = { members: 1000, rooms: 1, size: 128 };
const many = { members: 2000, rooms: 200, size: 128 };

/**
 * What fan-out costs, by the scenario's id.
 *
 * @typedef {{ members: number, rooms: number, size: number, window?: number, rate?: number }} Load
 * @satisfies {Record<string, Load>}
 */
export const fanOuts = {
  P1: { ...one, window: 64 },
  P2: { ...one, window: 1 },
  'P3 closed': { ...many, window: 2000 },
  'P3 open': { ...many, rate: 8000 },
};

const PER_DELIVERY = ['cpuUs', 'deliveriesPerSecond', 'p50Us', 'p99Us', 'serverCores', 'loadCores'];
const MEMORY = ['rssGrowthMiB', 'rssMiB'];

// More than the kernel takes for a peer that does not read, and than the queue's bound after it.
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
    title: '200 rooms of 10, 128 B, 2,000 messages in flight in all',
    figures: ['deliveriesPerCpuSecond', ...PER_DELIVERY],
    series: eachUnder(everyone, fanOuts['P3 closed']),
  },
  {
    id: 'P3 open',
    title: '200 rooms of 10, 128 B, 8,000 messages a second in all',
    figures: [...PER_DELIVERY, 'lateSendP99Us'],
    series: eachUnder(everyone, fanOuts['P3 open']),
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
    title: '1,000 members of one room that never read, 2 KiB messages, at their bound',
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
    title: 'metrics and lock detector on (as by default) and off',
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
];

/**
 * @param {number} port
 * @param {boolean} expected
 * @throws {Error} when a server that should count does not, or the other way round
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
  let rate; // messages a second: the same for every series of a run
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
  // Enough in flight that the server is never idle, and little beside a member's bound.
  const { messagesPerSecond = 0 } = await fanOut(roomcast, { ...load, members: 1000, window: 8 });
  return Math.round(messagesPerSecond / 3);
}

/** @returns {Series[]} */
function joins() {
  /** @type {Series['measure']} */
  const measure = (seconds) =>
    withServer(roomcast, async ({ port, pid }) => {
      // Messages go on while what churns starts, beside a load that leaves it little of the core, and
      // warms up. Their end is that of 9,000 connections, which is not what a join is to wait for.
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
      // What churns is load as well.
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
          // One member, so that the room is there and a publish is delivered.
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
