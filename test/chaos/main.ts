/**
 * `npm run chaos`: runs a memory cluster with three workers and a Redis cluster with two nodes, and
 * injects every kind of fault for the requested time. After each round it checks what publishers and
 * members saw against the account. Exits with 0 if all rounds are consistent, 1 if not, and 2 if it
 * could not run.
 */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { hasRedis } from '../support/redis-server.js';
import { type Cluster, MOST_MIB, tooLarge } from './cluster.js';
import { Random } from './random.js';
import { RedisCluster } from './redis-cluster.js';
import { playRound, ROOMS, type Round } from './round.js';
import { WorkersCluster } from './workers-cluster.js';

const HELP = `npm run chaos -- [options]

Kills, stops, cuts and floods servers under load, and adds up what publishers and members saw.

  --minutes N   how long (default 1)
  --round S     seconds of each round, after which everything is undone and added up (default 20)
  --only NAME   memory (three workers) or redis (two nodes); default both, side by side
  --seed N      of what happens; the times of things are never quite the same (default by chance)
  --report F    a file for the verdict, as Markdown
  --help

Redis has to be installed: apt-get install redis-server.
`;

const KINDS: Readonly<Record<string, () => Promise<Cluster>>> = {
  memory: () => WorkersCluster.start(),
  redis: () => RedisCluster.start(ROOMS),
};

interface Verdict {
  readonly name: string;
  rounds: number;
  readonly counts: Record<string, number>;
  readonly done: Map<string, number>;
  readonly faults: string[];
  readonly before: Readonly<Record<string, number>>;
  after: Readonly<Record<string, number>>;
  /** The highest memory of any process after a round. */
  most: number;
}

const { values } = parsed({
  options: {
    minutes: { type: 'string', default: '1' },
    round: { type: 'string', default: '20' },
    only: { type: 'string' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    report: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(2));
const say = (text: string) => process.stdout.write(`${text}\n`);
let exitCode = 2;
try {
  exitCode = await main();
} catch (error) {
  process.stderr.write(`It could not run: ${(error as Error).stack}\n`);
}
// Remaining server processes must not keep this one alive.
process.exit(exitCode);

/** Exits with 2 on an unknown option. */
function parsed<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

async function main(): Promise<number> {
  if (values.help) {
    say(HELP);
    return 0;
  }
  const [minutes, round, seed] = [values.minutes, values.round, values.seed].map(Number);
  const names = values.only === undefined ? Object.keys(KINDS) : [values.only];
  const isWrong = [minutes, round].some((each) => !((each as number) > 0));
  if (isWrong || !Number.isInteger(seed) || names.some((name) => !(name in KINDS))) {
    process.stderr.write(HELP);
    return 2;
  }
  if (names.includes('redis') && !hasRedis) return 2;
  say(`seed ${seed}, ${minutes} min, rounds of ${round} s: ${names.join(' and ')}`);
  const clusters = await Promise.all(
    names.map((name) => (KINDS[name] as () => Promise<Cluster>)()),
  );
  const until = performance.now() + (minutes as number) * 60_000;
  const verdicts = await Promise.all(
    clusters.map((cluster, n) =>
      play(cluster, until, (round as number) * 1000, new Random((seed as number) + n)),
    ),
  );
  const text = verdicts.map(written).join('\n');
  say(text);
  if (values.report !== undefined) writeFileSync(values.report, `seed ${seed}\n\n${text}`);
  return verdicts.every(({ faults }) => faults.length === 0) ? 0 : 1;
}

/** Plays rounds on one cluster until the time is over, at least one. */
async function play(cluster: Cluster, until: number, ms: number, random: Random): Promise<Verdict> {
  const places = new Map<string, string>();
  const before = cluster.memory();
  const verdict: Verdict = {
    name: cluster.name,
    rounds: 0,
    counts: {},
    done: new Map(),
    faults: [],
    before,
    after: before,
    most: 0,
  };
  try {
    do {
      const left = Math.max(until - performance.now(), 1000);
      const prefix = `r${verdict.rounds}`;
      const round = await playRound({ cluster, ms: Math.min(ms, left), random, prefix, places });
      verdict.after = cluster.memory();
      verdict.most = Math.max(verdict.most, ...Object.values(verdict.after));
      const judged = { ...round, faults: [...round.faults, ...tooLarge(verdict.after)] };
      note(verdict, judged);
      tell(verdict, judged);
    } while (performance.now() < until);
  } catch (error) {
    verdict.faults.push(`it could not go on: ${(error as Error).stack}`);
  } finally {
    await cluster.close();
  }
  return verdict;
}

function note(verdict: Verdict, { faults, counts, done }: Round): void {
  verdict.rounds += 1;
  verdict.faults.push(...faults);
  for (const [name, count] of Object.entries(counts)) {
    verdict.counts[name] = (verdict.counts[name] ?? 0) + count;
  }
  for (const { what } of done) verdict.done.set(what, (verdict.done.get(what) ?? 0) + 1);
}

function tell({ name, rounds }: Verdict, { faults, counts, done, ...logs }: Round): void {
  const { published, accepted, refused, uncertain, messages, gaps, resets } = counts;
  say(
    `${name}, round ${rounds}: ${done.length} faults; ${published} published, ${accepted} accepted, ` +
      `${refused} refused, ${uncertain} uncertain; ${messages} messages, ${gaps} gaps, ` +
      `${resets} resets; ${faults.length === 0 ? 'adds up' : 'DOES NOT ADD UP'}`,
  );
  if (faults.length === 0) return;
  const file = join(tmpdir(), `roomcast-chaos-${process.pid}-${name.split(',')[0]}-${rounds}.json`);
  writeFileSync(file, JSON.stringify({ faults, done, ...logs }));
  for (const { what, at, ms } of done) say(`  at ${at} ms, for ${ms} ms: ${what}`);
  for (const fault of faults.slice(0, 10)) say(`  ${fault}`);
  say(`  ${faults.length} in all; the logs of all are in ${file}`);
}

function written({ name, rounds, counts, done, faults, before, after, most }: Verdict): string {
  const list = (entries: Iterable<readonly [string, number]>) =>
    [...entries].map(([what, count]) => `${what} ${count}`).join(', ');
  const result = faults.length === 0 ? 'everything adds up' : `${faults.length} faults`;
  return `### ${name}: ${result}

- ${rounds} rounds: ${list(Object.entries(counts))}
- faults injected: ${list([...done].sort(([, a], [, b]) => b - a))}
- MiB at the beginning: ${list(Object.entries(before))}; at the end: ${list(Object.entries(after))}; the most
  after any round ${most}, of ${MOST_MIB} that are allowed
${faults.map((fault) => `- ${fault}\n`).join('')}`;
}
