import { existsSync, readFileSync } from 'node:fs';
import { machine, versions } from './facts.js';
import { parse, refuse, someOf, wholeNumber } from './options.js';
import {
  cpuSeconds,
  DISTURBED_CORES,
  freePort,
  machineCpuSeconds,
  quiet,
  runMeter,
  startServer,
} from './process.js';
import { facts, row, withSpread } from './report.js';
import { keep } from './results.js';
import { digits, median } from './stats.js';
import { roomcast, roomcastMain } from './targets.js';

/**
 * Checks that `roomcast load` measures the same as another meter that shares no code with it: both
 * measure the same loads in turns. Also measures how many deliveries a second one worker can receive.
 */

const HELP = `npm run agreement -- --meter <file> [options]
  --meter <file>     the other meter, wsload, which prints JSON (README.md, "Two meters")
  --only rooms,one   what to measure: small, large, rooms, stalled, and one, the deliveries a second
                     that one worker receives (default: all). The other results are kept as they are
  --rounds 5         how often each load is measured with each meter
  --seconds 4        duration of each measurement
  --record           write this part of RESULTS.md
`;
const MOST_REPEATS = 3;
/** Largest relative difference of the medians. */
const TOLERANCE = 0.1;
/** Deliveries a second that one worker must receive. */
const CAPACITY = 1_500_000;
const WARM = 2;
/** Seconds until the kernel buffers are full. */
const FILL = 6;

/**
 * @typedef {{ title: string, members: number, rooms: number, size: number, rate: number, stalled: number }} Load
 *   `rate`: messages a second in total
 * @typedef {{ rate: number, cores: number, p50: number, p99: number }} Figures deliveries a second;
 *   cores used by the server; latency in µs from the write of a message
 */

/** @type {Record<string, Load>} */
const LOADS = {
  small: { title: '200 in a room', members: 200, rooms: 1, size: 128, rate: 100, stalled: 0 },
  large: { title: '1,000 in a room', members: 1000, rooms: 1, size: 128, rate: 50, stalled: 0 },
  rooms: { title: '100 rooms of 10', members: 1000, rooms: 100, size: 128, rate: 2000, stalled: 0 },
  stalled: {
    title: '50 of 500 never read',
    members: 500,
    rooms: 1,
    size: 2048,
    rate: 50,
    stalled: 50,
  },
};

const { values: options } = parse(HELP, {
  options: {
    meter: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    record: { type: 'boolean', default: false },
  },
});
const meter = options.meter ?? refuse('--meter is missing: expected the path of wsload');
if (!existsSync(meter)) refuse(`--meter is ${JSON.stringify(meter)}: expected a file`);
const rounds = wholeNumber('--rounds', options.rounds, 100);
const seconds = wholeNumber('--seconds', options.seconds, 15);
const names = [...Object.keys(LOADS), 'one'];
const only = someOf('--only', options.only, names) ?? names;

/** @type {Record<'load' | 'meter', (load: Load, port: number, pid: number) => Promise<{ figures: Figures, cores: number }>>} */
const METERS = {
  async load({ members, rooms, size, rate, stalled }, port, pid) {
    const phases = stalled
      ? ['--cohort', `stalled=${stalled}`, '--turns', '1', '--warmup', '0', '--calm', '0'].concat([
          '--fill',
          `${FILL}s`,
          '--slow',
          `${seconds}s`,
        ])
      : ['--warmup', `${WARM}s`, '--calm', `${seconds}s`];
    const { report, cores } = await runLoad(port, pid, [
      ...['--members', `${members}`, '--rooms', `${rooms}`, '--size', `${size}`],
      ...['--rate', `${rate}/s`, '--room-prefix', 'bench:'],
      ...phases,
    ]);
    const name = stalled ? 'slow' : 'calm';
    const { perSecond, service } = report.cohorts[0].phases[name];
    const { cpuCores } = report.phases.find((/** @type {any} */ phase) => phase.name === name);
    return {
      figures: { rate: perSecond, cores: cpuCores, p50: service.p50, p99: service.p99 },
      cores,
    };
  },

  async meter({ members, rooms, size, rate, stalled }, port, pid) {
    const join = hex('{"type":"join","room":"bench:%R"}');
    const argv = [
      ...[meter, '--port', `${port}`, '--path', '/ws', '--pid', `${pid}`],
      ...['--subs', `${members}`, '--slow', `${stalled}`, '--rooms', `${rooms}`],
      ...['--size', `${size}`, '--rate', `${rate}`, '--secs', `${seconds}`],
      ...['--warm', `${stalled ? FILL : WARM}`, '--sub-hex', join],
      ...[
        '--pub-pre',
        hex('{"type":"publish","room":"bench:%R","data":"'),
        '--pub-post',
        hex('"}'),
      ],
    ];
    const { output, cores } = await runMeter(argv, { PUB_INIT: join });
    const said = JSON.parse(output);
    const figures = {
      rate: said.deliveries_per_s,
      cores: said.server_cpu,
      p50: said.p50_us,
      p99: said.p99_us,
    };
    return { figures, cores };
  },
};

/** @param {string} text */
const hex = (text) => Buffer.from(text).toString('hex');

/** @param {number} port @param {number} pid @param {string[]} scenario */
async function runLoad(port, pid, scenario) {
  const argv = [process.execPath, roomcastMain, 'load', `ws://127.0.0.1:${port}`];
  const { output, cores } = await runMeter([
    ...argv,
    ...['--server-pid', `${pid}`, '--json', '-'],
    ...scenario,
  ]);
  return { report: JSON.parse(output).runs[0], cores };
}

/**
 * Measures on a new server. Repeats while other processes used the machine, at most `MOST_REPEATS`
 * times in all.
 *
 * @template T
 * @param {(port: number, pid: number) => Promise<{ figures: T, cores: number }>} measure
 * @returns {Promise<{ figures: T, isQuiet: boolean }>}
 */
async function undisturbed(measure) {
  for (let repeat = 1; ; repeat++) {
    await quiet();
    const port = await freePort();
    const { pid, stop } = await startServer(roomcast.start(port), port);
    const [began, machineBefore, serverBefore] = [
      performance.now(),
      machineCpuSeconds(),
      cpuSeconds(pid),
    ];
    try {
      const { figures, cores } = await measure(port, pid);
      const elapsed = (performance.now() - began) / 1000;
      const server = cpuSeconds(pid) - serverBefore;
      const foreign = (machineCpuSeconds() - machineBefore - server) / elapsed - cores;
      const isQuiet = foreign <= DISTURBED_CORES;
      process.stderr.write(
        `  ${JSON.stringify(figures)}${isQuiet ? '' : `, others used ${digits(foreign)} cores`}\n`,
      );
      if (isQuiet || repeat === MOST_REPEATS) return { figures, isQuiet };
    } finally {
      await stop();
    }
  }
}

/** @typedef {{ load: Figures[], meter: Figures[], quiet: number }} Turns */

/** @param {Load} load @returns {Promise<Turns>} */
async function inTurns(load) {
  /** @type {Turns} */
  const turns = { load: [], meter: [], quiet: 0 };
  for (let round = 0; round < rounds; round++) {
    // The meters alternate in going first.
    /** @type {('load' | 'meter')[]} */
    const order = round % 2 === 0 ? ['load', 'meter'] : ['meter', 'load'];
    for (const name of order) {
      const { figures, isQuiet } = await undisturbed((port, pid) => METERS[name](load, port, pid));
      turns[name].push(figures);
      turns.quiet += isQuiet ? 1 : 0;
    }
  }
  return turns;
}

/** Deliveries a second that one worker receives when it is the bottleneck. */
async function capacity() {
  const found = [];
  let quietRounds = 0;
  for (let round = 0; round < rounds; round++) {
    const { figures, isQuiet } = await undisturbed(async (port, pid) => {
      const scenario = ['--members', '1000', '--window', '64', '--warmup', `${WARM}s`];
      const { report, cores } = await runLoad(port, pid, [...scenario, '--calm', `${seconds}s`]);
      return { figures: Number(report.cohorts[0].phases.calm.perSecond), cores };
    });
    found.push(figures);
    quietRounds += isQuiet ? 1 : 0;
  }
  return { found, quietRounds };
}

/** @type {[keyof Figures, string][]} */
const FIGURES = [
  ['rate', 'deliveries/s'],
  ['cores', 'server, cores'],
  ['p50', 'p50, µs'],
  ['p99', 'p99, µs'],
];

/** Figures of this run that are out of bounds. @type {string[]} */
const outOfBounds = [];

/** @param {Load} load */
async function compared(load) {
  process.stderr.write(`\n${load.title}\n`);
  const turns = await inTurns(load);
  return FIGURES.map(([key, title]) => {
    const ours = turns.load.map((each) => each[key]);
    const other = turns.meter.map((each) => each[key]);
    const ratio = median(ours) / median(other);
    const agrees = Math.abs(ratio - 1) <= TOLERANCE;
    if (!agrees) outOfBounds.push(`${load.title}, ${title}: ${digits(ratio)} of the other meter's`);
    return row([
      `${load.title}, ${load.size} B, ${load.rate}/s`,
      title,
      withSpread(median(ours), ours),
      withSpread(median(other), other),
      digits(ratio),
      agrees ? 'agrees' : '**differs**',
      `${turns.quiet} of ${2 * rounds}`,
    ]);
  });
}

/** @returns {Promise<string[]>} */
async function oneWorker() {
  process.stderr.write('\none worker\n');
  const { found, quietRounds } = await capacity();
  if (median(found) < CAPACITY)
    outOfBounds.push(`one worker receives ${digits(median(found))} a second`);
  return [
    `One worker of \`roomcast load\`, on a core of its own, received ${withSpread(median(found), found)} deliveries a second of`,
    `1,000 members, 128 B, 64 messages in flight (${quietRounds} of ${rounds} rounds quiet). Must: ${digits(CAPACITY)}.`,
  ];
}

const last = new URL('results/agreement.json', import.meta.url);
/** Lines of the page by measurement. @type {Record<string, string[]>} */
const lines = existsSync(last) ? JSON.parse(readFileSync(last, 'utf8')) : {};
for (const name of only) {
  const load = LOADS[name];
  lines[name] = load ? await compared(load) : await oneWorker();
}
const missing = names.filter((name) => !lines[name]);
if (options.record && missing.length > 0) refuse(`--record: measure ${missing.join(', ')} first`);

const markdown = [
  '## Two meters',
  '',
  `\`npm run agreement\`, ${new Date().toISOString()}: medians of ${rounds} rounds of ${seconds} s in turns, in brackets the`,
  'least and the most. Latencies are from the write of a message. Must: medians within',
  `${TOLERANCE * 100} % of each other.`,
  '',
  ...facts({ ...machine(), ...versions({ roomcast }) }),
  '',
  '| load | figure | `roomcast load` | wsload | ratio | | quiet rounds |',
  '| --- | --- | ---: | ---: | ---: | --- | ---: |',
  ...Object.keys(LOADS).flatMap((name) => lines[name] ?? []),
  '',
  ...(lines['one'] ?? []),
  '',
].join('\n');
keep('agreement', lines, markdown, options.record);
process.stdout.write(`\n${markdown}`);
for (const each of outOfBounds) process.stderr.write(`out of bounds: ${each}\n`);
if (outOfBounds.length > 0) process.exitCode = 1;
