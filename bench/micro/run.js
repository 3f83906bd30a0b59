import { existsSync } from 'node:fs';
import { parse, refuse, someOf, wholeNumber } from '../options.js';
import { measure } from './harness.js';

/** Runs the benchmarks of this folder; the header of each says what it measures. */

const HELP = `npm run micro -- [options] [name…]
  name               send-queue, codec, batch, join, lock (default: all)
  --rounds 301       how often each case is measured
`;
const NAMES = ['send-queue', 'codec', 'batch', 'join', 'lock'];
const MOST_ROUNDS = 100_000;

const { values, positionals } = parse(HELP, {
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '301' },
  },
});
const rounds = wholeNumber('--rounds', values.rounds, MOST_ROUNDS);
const names = positionals.length === 0 ? NAMES : someOf('name', positionals.join(), NAMES);
if (!existsSync(new URL('../../dist', import.meta.url))) {
  refuse('there is no dist/: run `npm ci` and `npm run build` in the root');
}

process.stdout.write(`Node ${process.version}; median of ${rounds} rounds (quartiles, least)\n`);
for (const name of names ?? []) {
  process.stdout.write(`${name}\n`);
  const { cases } = await import(`./${name}.js`);
  await measure(await cases(), rounds);
}
