import { parse, someOf, wholeNumber } from './options.js';
import { measures } from './scale/measures.js';
import { digits } from './stats.js';

/**
 * Measures the cost of several workers, and of several nodes over Redis, against limits (S1 to S13 of
 * the plan; docs/scale.md has the results). Each measurement is short: where other load can only add to
 * a figure its best round counts, and both sides of a ratio are measured in the same round.
 */

const HELP = `npm run scale -- [options]
  --only S4,S5   what to measure (default: all)
  --rounds 3     rounds of each
  --seconds 3    duration of each side of a round, where it can be chosen

Measures ${Object.keys(measures).join(', ')}. S11 is \`npm run chaos\` in the root, S12 \`npm run compare\`.
`;

const { values } = parse(HELP, {
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
  },
});
const only = someOf('--only', values.only, Object.keys(measures));
const rounds = wholeNumber('--rounds', values.rounds, 20);
const seconds = wholeNumber('--seconds', values.seconds, 15);

for (const [id, { title, must, missing, measure }] of Object.entries(measures)) {
  if (only && !only.includes(id)) continue;
  const hint = missing();
  if (hint !== null) {
    process.stdout.write(`${id} not measured: ${hint}\n`);
    continue;
  }
  /** @type {Record<string, number>[]} */
  const all = [];
  for (let round = 0; round < rounds; round += 1) {
    await measure(seconds).then(
      (figures) => all.push(figures),
      (/** @type {Error} */ error) => {
        process.stdout.write(`${id}, round ${round + 1}, failed: ${error.message}\n`);
        process.exitCode = 1;
      },
    );
  }
  process.stdout.write(`${id} ${title}\n`);
  for (const name of Object.keys(all[0] ?? {})) {
    const figures = all.map((figure) => Number(figure[name])).sort((a, b) => a - b);
    const limit = must[name];
    const best = Number(figures[0]);
    const verdict = limit === undefined ? '' : best <= limit ? ` (≤ ${limit})` : ` MISSES ${limit}`;
    process.stdout.write(`   ${name}: ${figures.map(digits).join(', ')}${verdict}\n`);
  }
}
process.exit();
