/**
 * The limits that roomcast must reach (`must`) and aims for (`aim`). Only `report.js` compares a run with
 * them, and reports a missed limit as missed.
 *
 * @typedef {{ max: number } | { min: number }} Bound
 *
 * @typedef {object} Line
 * @property {string} scenario
 * @property {string} what
 * @property {string} series
 * @property {string} figure of the series' results
 * @property {string} [over] the figure is divided by that of this series, round by round
 * @property {string} [beyond] the figure of this series is subtracted, round by round
 * @property {string} [unit] of a figure that is not divided
 * @property {true} [worst] the worst round counts, not the median
 * @property {Bound} [must]
 * @property {Bound} [aim]
 */

/** @type {readonly Line[]} */
export const limits = [
  cpu('P1', 'Bun', { max: 1.15 }, { max: 1.0 }),
  cpu('P1', 'ws loop', { max: 0.06 }),
  cpu('P2', 'Bun', { max: 1.3 }, { max: 1.0 }),
  cpu('P2', 'ws loop', { max: 0.8 }),
  {
    scenario: 'P3 closed',
    what: 'deliveries per CPU second',
    series: 'roomcast',
    figure: 'deliveriesPerCpuSecond',
    over: 'Bun',
    must: { min: 1 / 1.2 },
    aim: { min: 1.0 },
  },
  {
    scenario: 'P3 closed',
    what: 'deliveries per CPU second',
    series: 'roomcast',
    figure: 'deliveriesPerCpuSecond',
    over: 'ws loop',
    must: { min: 3 },
  },
  cpu('P3 open', 'Bun', { max: 1.25 }, { max: 1.05 }),
  cpu('P3 open', 'ws loop', { max: 0.95 }),
  {
    scenario: 'P3 open',
    what: 'p99 latency',
    series: 'roomcast',
    figure: 'p99Us',
    over: 'ws loop',
    must: { max: 0.5 },
  },
  {
    scenario: 'P3 open',
    what: 'p99 latency',
    series: 'roomcast',
    figure: 'p99Us',
    over: 'Bun',
    must: { max: 2 },
    aim: { max: 1.2 },
  },
  ...[
    ['900 + 100 stalled', '900'],
    ['500 + 500 stalled', '500'],
  ].map(
    ([series, alone]) =>
      /** @type {Line} */ ({
        scenario: 'P4',
        what: "healthy members' p99",
        series: `roomcast, ${series}`,
        figure: 'p99Us',
        over: `roomcast, ${alone}`,
        must: { max: 1.25 },
        aim: { max: 1.05 },
      }),
  ),
  ...['1000', '900 + 100 stalled', '500 + 500 stalled'].map(
    (series) =>
      /** @type {Line} */ ({
        scenario: 'P4',
        what: 'deliveries to healthy members missed, or late by over 1 s',
        series: `roomcast, ${series}`,
        figure: 'missedOrLate',
        worst: true,
        must: { max: 0 },
        aim: { max: 0 },
      }),
  ),
  {
    scenario: 'P4',
    what: 'memory growth',
    series: 'roomcast, 500 + 500 stalled',
    figure: 'rssGrowthMiB',
    over: 'Bun, 500 + 500 stalled',
    must: { max: 1 },
  },
  {
    scenario: 'P4',
    what: 'memory growth',
    series: 'roomcast, 500 + 500 stalled',
    figure: 'rssGrowthMiB',
    unit: 'MiB',
    aim: { max: 64 },
  },
  {
    scenario: 'P5',
    what: 'join p99',
    series: 'roomcast',
    figure: 'joinP99Ms',
    unit: 'ms',
    must: { max: 20 },
    aim: { max: 10 },
  },
  {
    scenario: 'P6',
    what: 'requests a second',
    series: 'roomcast',
    figure: 'requestsPerSecond',
    over: 'bare route',
    must: { min: 0.7 },
    aim: { min: 0.85 },
  },
  {
    scenario: 'P7',
    what: 'idle memory of a connection',
    series: 'roomcast',
    figure: 'connectionKiB',
    unit: 'KiB',
    must: { max: 8.5 },
    aim: { max: 6 },
  },
  {
    scenario: 'P8',
    what: 'memory growth',
    series: 'roomcast',
    figure: 'rssGrowthMiB',
    unit: 'MiB',
    must: { max: 96 },
    aim: { max: 48 },
  },
  ...['P1', 'P2'].map(
    (load) =>
      /** @type {Line} */ ({
        scenario: 'P10',
        what: `server CPU per delivery with metrics and detector, load of ${load}`,
        series: `${load}, on`,
        figure: 'cpuUs',
        over: `${load}, off`,
        must: { max: 1.08 },
        aim: { max: 1.03 },
      }),
  ),
  ...['beside HS256', 'beside RS256'].map(
    (series) =>
      /** @type {Line} */ ({
        scenario: 'P11',
        what: 'p99 of those who were there',
        series,
        figure: 'p99Us',
        over: 'alone',
        must: { max: 1.25 },
      }),
  ),
  {
    scenario: 'P12',
    what: 'p99 of those who were there',
    series: 'beside recoveries',
    figure: 'p99Us',
    over: 'alone',
    must: { max: 1.25 },
  },
  {
    scenario: 'P12',
    what: 'members that had all they had missed',
    series: 'beside recoveries',
    figure: 'recovered',
    unit: 'members',
    worst: true,
    must: { min: 10_000 },
  },
  {
    scenario: 'P12',
    what: 'memory left behind',
    series: 'beside recoveries',
    figure: 'leftMiB',
    beyond: 'beside joins',
    unit: 'MiB',
    must: { max: 32 },
  },
  {
    scenario: 'P13',
    what: 'p99 of those who were there',
    series: 'beside joins that watch',
    figure: 'p99Us',
    over: 'alone',
    must: { max: 1.25 },
  },
  {
    scenario: 'P13',
    what: 'server CPU',
    series: 'beside joins that watch',
    figure: 'comeCpuSeconds',
    beyond: 'beside joins',
    unit: 's',
    must: { max: 1 },
  },
  {
    scenario: 'P13',
    what: 'members that had their answer',
    series: 'beside joins that watch',
    figure: 'came',
    unit: 'members',
    worst: true,
    must: { min: 10_000 },
  },
  ...['P1', 'P2', 'P3'].map(
    (load) =>
      /** @type {Line} */ ({
        scenario: 'P16',
        what: `server CPU per delivery with members that say who they are, load of ${load}`,
        series: `${load}, known`,
        figure: 'cpuUs',
        over: `${load}, off`,
        must: { max: 1.03 },
      }),
  ),
  ...['P1', 'P2', 'P3'].map(
    (load) =>
      /** @type {Line} */ ({
        scenario: 'P14',
        what: `server CPU per delivery with 1,000 messages kept a room, load of ${load}`,
        series: `${load}, kept`,
        figure: 'cpuUs',
        over: `${load}, none`,
        must: { max: 1.05 },
      }),
  ),
  {
    scenario: 'P18',
    what: 'server CPU per delivery with tokens, history and presence',
    series: 'all on',
    figure: 'cpuUs',
    over: 'off',
    must: { max: 1.15 },
    aim: { max: 1.05 },
  },
];

/**
 * @param {string} scenario
 * @param {string} over
 * @param {Bound} must
 * @param {Bound} [aim]
 * @returns {Line}
 */
function cpu(scenario, over, must, aim) {
  const what = 'server CPU per delivery';
  const line = { scenario, what, series: 'roomcast', figure: 'cpuUs', over, must };
  return aim === undefined ? line : { ...line, aim };
}
