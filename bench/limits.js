/**
 * What roomcast has to reach (`must`) and wants to (`aim`). `report.js` holds a run against it; nothing
 * else does, and a missed line is reported as missed.
 *
 * @typedef {{ max: number } | { min: number }} Bound
 *
 * @typedef {object} Line
 * @property {string} scenario
 * @property {string} what
 * @property {string} series
 * @property {string} figure of the series' results
 * @property {string} [over] the series it is divided by, round by round; without it the figure itself
 * @property {string} [unit] of a figure that is not divided
 * @property {true} [worst] every round counts, not the median
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
    must: { min: 0.7 },
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
  cpu('P3 open', 'Bun', { max: 1.5 }, { max: 1.1 }),
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
    aim: { max: 2 },
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
    must: { max: 14 },
    aim: { max: 9 },
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
