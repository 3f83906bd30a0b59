import { limits } from './limits.js';
import { DISTURBED_CORES } from './process.js';
import { digits, median } from './stats.js';

/**
 * A run as Markdown: the limits of `limits.js` with the measured values, then each scenario's series.
 *
 * @typedef {object} Run content of `results/bench.json`
 * @property {string} date ISO 8601
 * @property {Record<string, string>} machine
 * @property {Record<string, string>} versions
 * @property {number} rounds
 * @property {number} seconds for which each series is measured in a round
 * @property {ScenarioRun[]} scenarios
 * @property {string[]} [lacking] ids of the scenarios that are still to be measured
 *
 * @typedef {object} ScenarioRun
 * @property {string} id
 * @property {string} title
 * @property {string[]} figures
 * @property {Record<string, import('./scenarios.js').Figures[]>} series one entry per round
 * @property {Record<string, string>} skipped series that are not installed, and how to install them
 * @property {string[]} failed rounds without figures
 * @property {string | undefined} [commit] at which it was measured
 */

/** @type {Record<string, string>} */
const headings = {
  cpuUs: 'server CPU, µs per delivery',
  deliveriesPerSecond: 'deliveries/s',
  deliveriesPerCpuSecond: 'deliveries per CPU second',
  messagesPerSecond: 'messages/s',
  p50Us: 'p50, µs',
  p99Us: 'p99, µs',
  p999Us: 'p99.9, µs',
  serverCores: 'server, cores',
  loadCores: 'load, cores',
  lateSendP99Us: 'sent late, p99, µs',
  missedOrLate: 'missed or late',
  rssMiB: 'memory, MiB',
  rssGrowthMiB: 'growth, MiB',
  connectionKiB: 'KiB per connection',
  joins: 'joins',
  joinP50Ms: 'join p50, ms',
  joinP99Ms: 'join p99, ms',
  joinMaxMs: 'join max, ms',
  recovered: 'members recovered',
  recoverSeconds: 'all recovered in, s',
  recoverP99Ms: 'recovery p99, ms',
  leftMiB: 'memory left, MiB',
  acceptMs: 'publishes accepted after, ms',
  requestsPerSecond: 'requests/s',
  httpP99Ms: 'p99, ms',
};

/**
 * @param {Run} run
 * @param {string} [again] the scenarios as given to `--only`, if the run is not whole
 * @returns {string}
 */
export function markdown(run, again) {
  const lines = limits.flatMap((line) => {
    const scenario = run.scenarios.find(({ id }) => id === line.scenario);
    return scenario === undefined ? [] : [limitRow(line, scenario)];
  });
  return [
    ...heading(run, again),
    '### Against the limits',
    '',
    'Ratios are medians of the rounds, each divided by the same round of the other; in brackets the least and the most of a round.',
    '',
    '| | what | over | must | aim | measured | |',
    '|---|---|---|---|---|---|---|',
    ...lines,
    ...run.scenarios.flatMap((scenario) => section(scenario, run.machine['commit'])),
    '',
  ].join('\n');
}

/** @param {import('./limits.js').Line} line @param {ScenarioRun} scenario */
function limitRow(line, scenario) {
  const values = measured(line, scenario);
  const cells = [
    line.scenario,
    `${line.what}${line.series === 'roomcast' ? '' : `, ${line.series}`}`,
    line.over ?? line.beyond ?? '',
    bound(line.must),
    bound(line.aim),
  ];
  if (values.length === 0) return row([...cells, '–', 'not measured']);
  const value = line.worst ? worst(line, values) : median(values);
  const unit = line.over === undefined ? (line.unit ?? '') : '×';
  return row([...cells, `${withSpread(value, values)} ${unit}`, verdict(line, value)]);
}

/** @param {import('./limits.js').Line} line @param {ScenarioRun} scenario @returns {number[]} */
function measured({ series, figure, over, beyond }, scenario) {
  const own = (scenario.series[series] ?? []).map((figures) => Number(figures[figure]));
  const other = over ?? beyond;
  if (other === undefined) return own;
  const others = (scenario.series[other] ?? []).map((figures) => Number(figures[figure]));
  return others.slice(0, own.length).map((other, round) => {
    const value = Number(own[round]);
    return over === undefined ? value - other : value / other;
  });
}

/** @param {import('./limits.js').Line} line @param {number[]} values */
const worst = ({ must }, values) =>
  must !== undefined && 'min' in must ? Math.min(...values) : Math.max(...values);

/** @param {import('./limits.js').Line} line @param {number} value */
function verdict({ must, aim }, value) {
  const passes = must === undefined || holds(must, value);
  if (!passes) return '**miss**';
  if (aim === undefined) return 'pass';
  if (holds(aim, value)) return must === undefined ? 'aim reached' : 'pass, aim reached';
  return must === undefined ? 'aim missed' : 'pass, aim missed';
}

/** @param {import('./limits.js').Bound} bound @param {number} value */
const holds = (bound, value) => ('max' in bound ? value <= bound.max : value >= bound.min);

/** @param {import('./limits.js').Bound | undefined} limit */
function bound(limit) {
  if (limit === undefined) return '';
  return 'max' in limit ? `≤ ${digits(limit.max)}` : `≥ ${digits(limit.min)}`;
}

/** @param {ScenarioRun} scenario @param {string | undefined} whole commit of the run @returns {string[]} */
function section({ id, title, figures, series, skipped, failed, commit }, whole) {
  const measured = Object.entries(series).filter(([, rounds]) => rounds.length > 0);
  const rows = measured.map(([name, rounds]) => {
    const cells = figures.map((figure) => {
      const values = rounds.map((round) => Number(round[figure]));
      return withSpread(median(values), values);
    });
    const disturbed = rounds.filter(({ foreignCores = 0 }) => foreignCores > DISTURBED_CORES);
    return row([name, ...cells, `${rounds.length - disturbed.length} of ${rounds.length}`]);
  });
  return [
    '',
    `### ${id}: ${title}`,
    '',
    row(['', ...figures.map((figure) => headings[figure] ?? figure), 'quiet rounds']),
    row(['---', ...figures.map(() => '---:'), '---:']),
    ...rows,
    ...Object.entries(skipped).map(([name, hint]) => `\nNot measured: ${name}; ${hint}.`),
    ...failed.map((what) => `\nFailed: ${what}`),
    ...(commit === undefined || commit === whole ? [] : [`\nMeasured at commit ${commit}.`]),
  ];
}

/** @param {number} value @param {number[]} values */
export const withSpread = (value, values) =>
  values.length < 2
    ? digits(value)
    : `${digits(value)} (${digits(Math.min(...values))}–${digits(Math.max(...values))})`;

/** @param {string[]} cells */
export const row = (cells) => `| ${cells.join(' | ')} |`;

/** @param {Run} run @param {string} [again] @returns {string[]} */
function heading({ date, machine, versions, rounds, seconds, lacking = [] }, again) {
  return [
    again ? `## Measured again since the whole run: ${again}` : '## Fan-out beside others',
    '',
    `\`npm run bench${again ? ` -- --only ${again}` : ''}\`, ${date}: ${rounds} rounds of ${seconds} s.`,
    ...(lacking.length > 0 ? [`Not measured in this run: ${lacking.join(', ')}.`] : []),
    '',
    ...facts({ ...machine, ...versions }),
    '',
  ];
}

/** @param {Record<string, string>} facts @returns {string[]} */
export const facts = (facts) => [
  '| | |',
  '|---|---|',
  ...Object.entries(facts).map((fact) => row(fact)),
];
