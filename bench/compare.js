import { fileURLToPath } from 'node:url';
import { parse, refuse, someOf, wholeNumber } from './options.js';
import { freePort, quiet, startLoad, startServer } from './process.js';
import { row, withSpread } from './report.js';
import { fanOuts } from './scenarios.js';
import { median } from './stats.js';
import { peers, roomcastIn } from './targets.js';

/**
 * Compares this build with others. Their servers all run at the same time on one core and take turns of
 * a second. Other load on the machine changes within minutes, not within seconds, so neighbouring turns
 * are comparable. Two processes of one build differ too, by their memory layout: so each round starts
 * new ones.
 */

const TURNS = 5;
const PLAN = { turns: TURNS, warm: 2, settle: 0.3, seconds: 1 };
const MOST_ROUNDS = 1000;

const HELP = `npm run compare -- [options] <other> [<other> ...]
  <other>            folder of another built checkout, or a peer: ${Object.keys(peers).join(', ')}
  --only P2          scenarios (default: P2, P3 open)
  --rounds 8         rounds, each of ${TURNS} turns of each server
`;

/** @param {string} file */
const here = (file) => fileURLToPath(new URL(file, import.meta.url));

const { values: options, positionals: others } = parse(HELP, {
  allowPositionals: true,
  options: {
    only: { type: 'string', default: 'P2,P3 open' },
    rounds: { type: 'string', default: '8' },
  },
});
const rounds = wholeNumber('--rounds', options.rounds, MOST_ROUNDS);
const ids = someOf('--only', options.only, Object.keys(fanOuts)) ?? [];
if (others.length === 0) refuse('nothing to compare with: expected a folder or a peer');

const root = here('..');
/** @type {Record<string, import('./targets.js').Target>} */
const targets = { 'this build': roomcastIn(root), 'this build again': roomcastIn(root) };
for (const other of others) {
  targets[other] = /** @type {typeof targets} */ (peers)[other] ?? roomcastIn(other);
}
for (const [name, { missing }] of Object.entries(targets)) {
  const hint = missing();
  if (hint !== null) refuse(`${name} is missing: ${hint}`);
}

const names = Object.keys(targets);
for (const id of ids) await compare(/** @type {keyof typeof fanOuts} */ (id));

/** @param {keyof typeof fanOuts} id */
async function compare(id) {
  /** Medians of the turns of a round, by server and round. @type {Record<string, { cpuUs: number[], ratios: number[] }>} */
  const results = {};
  for (const name of names) results[name] = { cpuUs: [], ratios: [] };
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`${id}, round ${round + 1} of ${rounds}\n`);
    const figures = await measure(fanOuts[id]);
    const base = /** @type {number[]} */ (figures[0]);
    for (const [i, name] of names.entries()) {
      const own = /** @type {number[]} */ (figures[i]);
      results[name]?.cpuUs.push(median(own));
      results[name]?.ratios.push(
        median(own.map((figure, turn) => figure / /** @type {number} */ (base[turn]))),
      );
    }
  }
  const rows = Object.entries(results).map(([name, { cpuUs, ratios }]) =>
    row([name, withSpread(median(cpuUs), cpuUs), withSpread(median(ratios), ratios)]),
  );
  process.stdout.write(
    [
      `\n${id}: ${rounds} rounds of ${TURNS} turns`,
      '',
      row(['', 'server CPU, µs per delivery', 'divided by this build']),
      '|---|---:|---:|',
      ...rows,
      '',
    ].join('\n'),
  );
}

/** @param {import('./scenarios.js').Load} load @returns {Promise<number[][]>} µs, by server and turn */
async function measure(load) {
  await quiet();
  const servers = [];
  for (const { wire, start } of Object.values(targets)) {
    const port = await freePort();
    servers.push({ port, wire, ...(await startServer(start(port), port)) });
  }
  const figures = await startLoad(here('load/turns.js'), { ...PLAN, servers, load }).result;
  for (const { stop } of servers) await stop();
  return figures;
}
