import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { machine, versions } from './facts.js';
import { parse, refuse, someOf, wholeNumber } from './options.js';
import { freePort, quiet, runLoadTool, startServer } from './process.js';
import { facts, row, withSpread } from './report.js';
import { keep } from './results.js';
import { digits } from './stats.js';
import { peers, roomcast, roomcastMain, wsAwaiting } from './targets.js';

/**
 * Runs scenarios of `roomcast load` with slow members against several servers, each on a core of its own.
 * Keeps the JSON reports in results/isolation/; the table is written like that of `run.js`.
 */

const HELP = `npm run isolation -- [options] [-- options of roomcast load]
  --only S1,S4       scenarios to run (default: all)
  --series a,b       servers to run, by their names in the table (default: all)
  --repeat 3         runs of each; the table shows the median, the least and the most
  --record           write this part of RESULTS.md, and reports/; whole runs only
`;
const MOST_REPEATS = 100;
/** Tries of a run that the machine spoilt. */
const MOST_TRIES = 3;
const VOID = 3;

/**
 * @typedef {object} Series
 * @property {import('./targets.js').Target} target
 * @property {string[]} scenarios
 * @property {(port: number) => string[]} load URL and target, as arguments of `roomcast load`
 * @property {string} [caught] the check that must fail; without it any verdict is accepted
 * @property {true} [passes] every check must pass
 */

/** @type {Record<string, Series>} */
const all = {
  roomcast: {
    target: roomcast,
    scenarios: ['S0', 'S1', 'S2', 'S4', 'S5', 'S8', 'S12'],
    load: (port) => [`ws://127.0.0.1:${port}`],
    passes: true,
  },
  'ws loop': {
    target: peers['ws loop'],
    scenarios: ['S0', 'S1', 'S4'],
    load: (port) => [`ws://127.0.0.1:${port}/bench`, '--target', 'ws'],
  },
  'Socket.IO': {
    target: peers['Socket.IO'],
    scenarios: ['S0', 'S1', 'S4'],
    load: (port) => [
      `http://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket&room=bench`,
      '--target',
      'socketio',
      '--publish',
      '["publish","bench","{data}"]',
    ],
  },
  'awaiting ws loop': {
    target: wsAwaiting,
    scenarios: ['S4'],
    load: (port) => [`ws://127.0.0.1:${port}`, '--target', 'ws'],
    caught: 'flow',
  },
};
/** The run whose HTML report is kept. */
const SHOWN = { scenario: 'S4', name: 'roomcast' };

const { values: options, positionals: extra } = parse(HELP, {
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    series: { type: 'string' },
    repeat: { type: 'string', default: '3' },
    record: { type: 'boolean', default: false },
  },
});
const repeat = wholeNumber('--repeat', options.repeat, MOST_REPEATS);
const scenarios = [...new Set(Object.values(all).flatMap((series) => series.scenarios))];
const only = someOf('--only', options.only, scenarios) ?? scenarios;
const wanted = someOf('--series', options.series, Object.keys(all));
if (options.record && (options.only || wanted || extra.length > 0)) {
  refuse('--record is for whole runs: omit --only, --series and options of the load');
}

/**
 * @typedef {{ median: number, min: number, max: number }} Figure
 * @typedef {{ name: string, status: string, text: string }} Check
 *
 * @typedef {object} Row
 * @property {string} scenario
 * @property {string} title
 * @property {string} name
 * @property {Record<string, Figure>} figures by their names for `--fail-if`
 * @property {number | null} grownMiB memory growth of the server in the phases fill and slow
 * @property {Check[]} failed
 * @property {string | null} unfit why the run says nothing about the server
 * @property {number} exit
 * @property {string | null} wrong how the run differs from what is expected of the series
 */

const folder = new URL('results/isolation/', import.meta.url);
mkdirSync(folder, { recursive: true });
/** @param {string} scenario @param {string} name @param {string} ending */
const fileOf = (scenario, name, ending) =>
  fileURLToPath(new URL(`${scenario}-${name.replace(/\W+/g, '-')}.${ending}`, folder));

const date = new Date().toISOString();
const measuredOn = machine();
/** @type {Row[]} */
const rows = [];
/** @type {string[]} */
const missing = [];
for (const [name, series] of Object.entries(all)) {
  const hint = series.target.missing();
  if (hint !== null) missing.push(`${name}; ${hint}`);
}
for (const scenario of scenarios.filter((each) => only.includes(each))) {
  for (const [name, series] of Object.entries(all)) {
    if (wanted && !wanted.includes(name)) continue;
    if (!series.scenarios.includes(scenario) || series.target.missing() !== null) continue;
    rows.push(await judged(scenario, name, series));
  }
}
if (rows.length === 0) refuse(`nothing to run: ${missing[0] ?? 'no such scenario of that series'}`);

const markdown = report();
keep('isolation', rows, markdown, options.record);
if (options.record) {
  mkdirSync(new URL('reports/', import.meta.url), { recursive: true });
  const { scenario, name } = SHOWN;
  const page = new URL(`reports/${scenario}-${name}.html`, import.meta.url);
  copyFileSync(fileOf(scenario, name, 'html'), page);
}
process.stdout.write(`\n${markdown}`);
if (rows.some(({ wrong }) => wrong !== null)) process.exitCode = 1;

/**
 * @param {string} scenario
 * @param {string} name
 * @param {Series} series
 * @returns {Promise<Row>}
 */
async function judged(scenario, name, series) {
  for (let left = MOST_TRIES - 1; ; left--) {
    await quiet();
    const measured = await measure(scenario, name, series);
    const seen = `${scenario} ${name}: ${verdict(measured)}`;
    process.stderr.write(`${seen}${measured.wrong === null ? '' : `, ${measured.wrong}`}\n`);
    if (measured.unfit === null || left === 0) return measured;
  }
}

/**
 * @param {string} scenario
 * @param {string} name
 * @param {Series} series
 * @returns {Promise<Row>}
 * @throws {Error} if the tool made no report
 */
async function measure(scenario, name, { target, load, caught, passes }) {
  const port = await freePort();
  const server = await startServer(target.start(port), port);
  const json = fileOf(scenario, name, 'json');
  const outputs = ['--json', json, '--html', fileOf(scenario, name, 'html')];
  const flags = ['--scenario', scenario, '--repeat', `${repeat}`, '--server-pid', `${server.pid}`];
  const argv = [process.execPath, roomcastMain, 'load', ...load(port), ...flags, ...outputs];
  const exit = await runLoadTool([...argv, ...extra]).finally(server.stop);
  if (exit !== 0 && exit !== 1 && exit !== VOID) {
    throw new Error(`roomcast load ended with ${exit}`);
  }
  const { plan, runs, shown, figures, verdict } = JSON.parse(readFileSync(json, 'utf8'));
  /** @type {Check[]} */
  const failed = verdict.checks.filter((/** @type {Check} */ { status }) => status === 'failed');
  let wrong = null;
  if (passes && exit !== 0) wrong = 'it did not pass';
  if (caught && !(exit === 1 && failed.some((check) => check.name.startsWith(caught)))) {
    wrong = `the defect was not caught as ${caught}`;
  }
  const { title } = plan;
  const { unfit } = verdict;
  const grownMiB = growth(runs[shown].phases);
  return { scenario, title, name, figures, grownMiB, failed, unfit, exit, wrong };
}

/** @param {{ name: string, rssGrowthBytes: number | null }[]} phases @returns {number | null} MiB */
function growth(phases) {
  const slow = phases.filter(({ name }) => name === 'fill' || name === 'slow');
  if (slow.length === 0) return null;
  return (
    slow.reduce((sum, { rssGrowthBytes }) => sum + (rssGrowthBytes ?? Number.NaN), 0) / 2 ** 20
  );
}

/** @param {Pick<Row, 'unfit' | 'failed'>} row */
function verdict({ unfit, failed }) {
  const names = failed.length === 0 ? '' : `failed: ${failed.map(({ name }) => name).join(', ')}`;
  const spoilt = unfit === null ? '' : `void: ${unfit}`;
  return [names, spoilt].filter(Boolean).join('; ') || 'passed';
}

/** @returns {string} */
function report() {
  const latency = ['p50@calm', 'p50@slow', 'p99@calm', 'p99@slow'];
  const headings = [
    ...latency.map((figure) => `${figure.replace('@', ', ')}, ms`),
    'isolation',
    'deliveries/s',
    'server CPU, µs per delivery, calm',
    'slow',
    'memory growth, fill and slow, MiB',
    'verdict',
    'exit code',
  ];
  const present = [...new Set(rows.map(({ name }) => name))];
  const targets = Object.fromEntries(present.map((name) => [name, all[name]?.target ?? roomcast]));
  const about = { ...measuredOn, ...versions(targets), runs: `${repeat} of each` };
  const cells = rows.map(({ figures, ...each }) => {
    const rate = figures['healthy.rate@slow'] ?? figures['healthy.rate@calm'];
    return row([
      each.scenario,
      each.name,
      ...latency.map((figure) => shown(figures[`healthy.${figure}`], 1000)),
      shown(figures['isolation']),
      shown(rate),
      shown(figures['server.cpuPerDelivery@calm']),
      shown(figures['server.cpuPerDelivery@slow']),
      each.grownMiB === null ? '–' : digits(each.grownMiB),
      verdict(each),
      `${each.exit}`,
    ]);
  });
  const titles = new Map(rows.map(({ scenario, title }) => [scenario, title]));
  const details = rows.flatMap(({ scenario, name, failed, wrong }) => [
    ...failed.map((check) => `- ${scenario}, ${name}: **${check.name}**: ${check.text}`),
    ...(wrong === null ? [] : [`- ${scenario}, ${name}: **${wrong}**`]),
  ]);
  return [
    '## Isolation',
    '',
    `\`npm run isolation\`, ${date}${extra.length > 0 ? `, with ${extra.join(' ')}` : ''}.`,
    '',
    ...facts(about),
    '',
    'For healthy members: latencies while all members read (calm) and while some do not (slow), the isolation ratio (p99 slow over p99 calm) and deliveries a second. Medians of the runs; in brackets the least and the most. Memory is that of the median run.',
    '',
    row(['scenario', 'server', ...headings]),
    row(['---', '---', ...headings.map((heading) => (heading === 'verdict' ? '---' : '---:'))]),
    ...cells,
    '',
    ...[...titles].map(([scenario, title]) => `- ${scenario}: ${title}`),
    ...(details.length === 0 ? [] : ['', 'What failed, in the words of the tool:', '', ...details]),
    ...missing.map((what) => `\nNot measured: ${what}.`),
    ...(options.record
      ? [
          `\n[The report of ${SHOWN.scenario} against ${SHOWN.name}](reports/${SHOWN.scenario}-${SHOWN.name}.html).`,
        ]
      : []),
    '',
  ].join('\n');
}

/** @param {Figure | undefined} figure @param {number} [per] */
function shown(figure, per = 1) {
  if (figure === undefined) return '–';
  const { median, min, max } = figure;
  return withSpread(median / per, repeat === 1 ? [] : [min / per, max / per]);
}
