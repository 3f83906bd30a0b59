import { machine, versions } from './facts.js';
import { parse, refuse, someOf, wholeNumber } from './options.js';
import { DISTURBED_CORES, quiet } from './process.js';
import { markdown } from './report.js';
import { keep, kept } from './results.js';
import { scenarios } from './scenarios.js';
import { digits } from './stats.js';
import { peers, roomcast } from './targets.js';

/**
 * Runs the scenarios in rounds. Each round measures every series in turn, so that other load on the
 * machine affects all alike. Writes results/bench.json and results/bench.md.
 */

const HELP = `npm run bench -- [options]
  --only P1,P3       scenarios to run; P3 includes all that begin with it (default: all)
  --series a,b       series to run, by their names in the tables; "roomcast" includes
                     "roomcast, 1000" (default: all)
  --rounds 5         how often each series is measured
  --seconds 4        duration of each measurement; at most 15
  --record           write this part of RESULTS.md; with --only, the part of scenarios measured
                     again, until the next whole run
  --continue         go on with the run in results/bench.json: measures the scenarios it lacks
`;
const MOST_REPEATS = 3;
const MOST_ROUNDS = 1000;
const MOST_SECONDS = 15;
const WHY_NOT_LONGER =
  'members of the load answer no pings, and servers close connections that stay silent for long';

const { values: options } = parse(HELP, {
  options: {
    only: { type: 'string' },
    series: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    record: { type: 'boolean', default: false },
    continue: { type: 'boolean', default: false },
  },
});
const rounds = wholeNumber('--rounds', options.rounds, MOST_ROUNDS);
const seconds = wholeNumber('--seconds', options.seconds, MOST_SECONDS, WHY_NOT_LONGER);
/** @param {string} name */
const group = (name) => /** @type {string} */ (name.split(', ')[0]);
const number = (/** @type {string} */ id) => /** @type {string} */ (id.split(' ')[0]);
const ids = scenarios.flatMap(({ id }) => [number(id), id]);
const only = someOf('--only', options.only, [...new Set(ids)]);
const chosen = scenarios.filter(
  ({ id }) => !only || only.includes(id) || only.includes(number(id)),
);
const groups = chosen.flatMap(({ series }) => series.map(({ name }) => group(name)));
const wanted = someOf('--series', options.series, [...new Set(groups)]);
if (options.record && wanted) refuse('--record is for all series: omit --series');

const begun = options.continue ? kept('bench') : null;
if (begun && (begun.rounds !== rounds || begun.seconds !== seconds)) {
  refuse(`--continue: that run has ${begun.rounds} rounds of ${begun.seconds} s; give the same`);
}
/** @type {import('./report.js').Run} */
const run = begun ?? {
  date: new Date().toISOString(),
  machine: machine(),
  versions: versions({ roomcast, ...peers }),
  rounds,
  seconds,
  scenarios: [],
};
const { commit } = machine();
const isPart = only !== undefined && begun === null;
for (const scenario of chosen) {
  if (run.scenarios.some(({ id }) => id === scenario.id)) continue;
  run.scenarios.push({ ...(await runScenario(scenario)), commit });
  run.scenarios.sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
  const has = new Set(run.scenarios.map(({ id }) => id));
  if (!isPart) run.lacking = scenarios.flatMap(({ id }) => (has.has(id) ? [] : id));
  // A whole run takes over an hour: what is measured is not lost if it is stopped.
  keep('bench', run, markdown(run, options.only), false);
}

const report = markdown(run, isPart ? options.only : undefined);
keep(options.record && isPart ? 'again' : 'bench', run, report, options.record);
process.stdout.write(`\n${report}`);

/** @param {import('./scenarios.js').Scenario} scenario */
async function runScenario({ id, title, figures, series: built }) {
  /** @type {import('./report.js').ScenarioRun} */
  const result = { id, title, figures, series: {}, skipped: {}, failed: [] };
  const all = built.filter(({ name }) => !wanted || wanted.includes(group(name)));
  for (const { name, missing } of all) {
    const hint = missing();
    if (hint === null) result.series[name] = [];
    else result.skipped[name] = hint;
  }
  const series = all.filter(({ name }) => result.series[name]);
  process.stderr.write(`\n${id}: ${title}\n`);
  for (let round = 0; round < rounds; round++) {
    // Each round begins with another series, so that none is always the first after a pause.
    const order = series.map((_, i) => series[(i + round) % series.length]);
    for (const each of order) {
      if (each === undefined) continue;
      const { name, measure } = each;
      const figure = await undisturbed(() => measure(seconds)).catch(
        (/** @type {Error} */ error) => error,
      );
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
 * Waits for a quiet machine, and repeats the measurement if other processes were busy during it. After
 * `MOST_REPEATS` the last one counts, and the report says that it was not quiet.
 *
 * @param {() => Promise<import('./scenarios.js').Figures>} measure
 */
async function undisturbed(measure) {
  for (let repeat = 0; ; repeat++) {
    await quiet();
    const figures = await measure();
    const { foreignCores = 0 } = figures;
    if (foreignCores <= DISTURBED_CORES || repeat === MOST_REPEATS) return figures;
    process.stderr.write(`  other processes used ${digits(foreignCores)} cores; measuring again\n`);
  }
}
