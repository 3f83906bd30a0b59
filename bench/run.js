import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { machineCpuSeconds, placement } from './process.js';
import { DISTURBED_CORES, markdown, preamble } from './report.js';
import { scenarios } from './scenarios.js';
import { digits } from './stats.js';
import { peers, roomcast } from './targets.js';

/**
 * Runs the scenarios, round by round and in each round every series in turn, so that what else the
 * machine does falls on all alike. Writes results/last.json and results/last.md.
 */

const HELP = `npm run bench -- [options]
  --only P1,P3       scenarios to run; P3 stands for all that begin with it (default: all)
  --series a,b       series to run, by the names in the tables (default: all)
  --rounds 5         how often each series is measured
  --seconds 4        how long, each time
  --record           write RESULTS.md as well
`;
const MOST_REPEATS = 3;
const LONGEST_WAIT_S = 60;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    series: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    record: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit();
}
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const only = options.only?.split(',');
const wanted = options.series?.split(',');
if (!(rounds >= 1) || !(seconds >= 1)) throw new Error('--rounds and --seconds are at least 1');

/** @type {import('./report.js').Run} */
const run = {
  date: new Date().toISOString(),
  machine: {
    CPU: `${cpus().length} × ${cpus()[0]?.model}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `Linux ${release()}`,
    placement,
    commit: execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim(),
  },
  versions: { Node: process.version, ...versions() },
  rounds,
  seconds,
  scenarios: [],
};

for (const scenario of scenarios) {
  if (only && !only.some((id) => scenario.id === id || scenario.id.startsWith(`${id} `))) continue;
  run.scenarios.push(await runScenario(scenario));
}

mkdirSync(new URL('results/', import.meta.url), { recursive: true });
const report = markdown(run);
writeFileSync(new URL('results/last.json', import.meta.url), JSON.stringify(run, null, 1));
writeFileSync(new URL('results/last.md', import.meta.url), preamble(run) + report);
if (options.record) writeFileSync(new URL('RESULTS.md', import.meta.url), preamble(run) + report);
process.stdout.write(`\n${report}`);

/** @param {import('./scenarios.js').Scenario} scenario */
async function runScenario({ id, title, figures, series: build }) {
  /** @type {import('./report.js').ScenarioRun} */
  const result = { id, title, figures, series: {}, skipped: {}, failed: [] };
  const all = (await build(seconds)).filter(({ name }) => !wanted || wanted.includes(name));
  for (const { name, missing } of all) {
    const hint = missing();
    if (hint === null) result.series[name] = [];
    else result.skipped[name] = hint;
  }
  const series = all.filter(({ name }) => result.series[name]);
  process.stderr.write(`\n${id}: ${title}\n`);
  for (let round = 0; round < rounds; round++) {
    // Each round begins with another one: nobody is always the first after a pause.
    const order = series.map((_, i) => series[(i + round) % series.length]);
    for (const each of order) {
      if (each === undefined) continue;
      const { name, measure } = each;
      const figure = await undisturbed(measure).catch((/** @type {Error} */ error) => error);
      if (figure instanceof Error) {
        result.failed.push(`${name}, round ${round + 1}: ${figure.message}`);
        process.stderr.write(`  ${round + 1}/${rounds} ${name} failed: ${figure.message}\n`);
        process.exitCode = 1;
        continue;
      }
      result.series[name]?.push(figure);
      const shown = figures.map((key) => `${key} ${digits(Number(figure[key]))}`);
      process.stderr.write(`  ${round + 1}/${rounds} ${name}: ${shown.join(', ')}\n`);
    }
  }
  for (const [name, hint] of Object.entries(result.skipped)) {
    process.stderr.write(`  ${name} not measured: ${hint}\n`);
  }
  return result;
}

/**
 * Waits for a quiet machine, and measures again when something else was busy all the same. After
 * `MOST_REPEATS` the last try counts, and the report says that it was not quiet.
 *
 * @param {() => Promise<import('./scenarios.js').Figures>} measure
 */
async function undisturbed(measure) {
  for (let repeat = 0; ; repeat++) {
    await quiet();
    const figures = await measure();
    const { foreignCores = 0 } = figures;
    if (foreignCores <= DISTURBED_CORES || repeat === MOST_REPEATS) return figures;
    process.stderr.write(`  other processes used ${digits(foreignCores)} cores; once more\n`);
  }
}

/** Resolves after a second in which nothing ran, or `LONGEST_WAIT_S`. */
async function quiet() {
  for (let waited = 0; waited < LONGEST_WAIT_S; waited++) {
    const before = machineCpuSeconds();
    await sleep(1000);
    if (machineCpuSeconds() - before <= DISTURBED_CORES) return;
  }
}

function versions() {
  /** @type {Record<string, string>} */
  const found = {};
  for (const [name, { missing, version }] of Object.entries({ roomcast, ...peers })) {
    if (missing() !== null) continue;
    const [command = '', ...args] = version();
    found[name] = execFileSync(command, args, { encoding: 'utf8' }).trim().replaceAll('\n', ', ');
  }
  return found;
}
