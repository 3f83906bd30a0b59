/**
 * `roomcast load`: from flags and files to a load test, and from its report to the terminal, to
 * files and to an exit code.
 *
 * Not here: what is measured and how it is judged (`src/load/`).
 */
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { COHORT_KINDS } from '../load/cohort.js';
import { badOption, EXIT, LoadError } from '../load/error.js';
import { loadTest, newTag } from '../load/load-test.js';
import { DEFAULTS, type Plan, resolvePlan, type Scenario } from '../load/plan.js';
import { asBaseline } from '../load/report/compare.js';
import { htmlReport } from '../load/report/html.js';
import { Progress } from '../load/report/progress.js';
import type { LoadReport } from '../load/report/report.js';
import { summary } from '../load/report/summary.js';
import { asScenario, findScenario, SCENARIOS } from '../load/scenarios.js';
import { Stamps } from '../load/stamp.js';
import {
  createTarget,
  TARGETS,
  type TargetName,
  type TargetSpec,
  TRANSPORTS,
  type TransportName,
} from '../load/targets/index.js';
import { parseThreshold } from '../load/threshold.js';
import { parseCount } from '../load/units.js';
import { version } from '../version.js';

/** Scenario keys as flags: what each is, in words. The keys and values are those of files too. */
const SCENARIO_FLAGS: Record<Exclude<keyof Scenario, 'name' | 'title'>, string> = {
  members: 'Connections that receive.',
  rooms: 'Rooms they are spread over.',
  roomPrefix: 'What room names start with; its namespace decides the policy of a roomcast.',
  roomsPerMember: 'Rooms each is in.',
  publishers: 'Publishing connections a room.',
  publishFrom: 'own: connections that only publish; members: members publish.',
  size: 'Payload of a message; at least 34 bytes.',
  rate: 'Open loop: messages a second in all, sent when due whatever happens.',
  window: 'Closed loop instead: messages a room has in flight.',
  rampUp: 'Time over which members connect. Default: 1 ms a member.',
  settle: 'Pause between the last join and the first message.',
  warmup: 'First phase: everybody reads; not judged.',
  calm: 'Second phase: everybody reads; the baseline of the isolation ratio.',
  fill: 'Third phase: slow members turn slow; not judged. 5s when cohorts are given.',
  slow: 'Fourth phase: they still are; judged. 10s when cohorts are given.',
  recover: 'Fifth phase: everybody reads again.',
  drain: 'Longest wait, at the end, for what members are still owed.',
  silence: 'A healthy member that gets nothing for longer has been blocked.',
  evictWithin: 'Stalled members must be disconnected within this.',
  cohorts: 'Slow members: <kind>=<count or %>[,key=value…]; may be repeated. See below.',
  failIf: 'Fail if true, like healthy.p99>250ms; may be repeated. See below.',
  seed: 'Decides who is slow and when.',
};

interface Flags {
  target: TargetName;
  transport: TransportName;
  header?: string[];
  join?: string;
  leave?: string;
  publish?: string;
  scenario?: string;
  listScenarios?: true;
  printScenario?: true;
  workers: string;
  repeat: string;
  serverPid?: string;
  metricsUrl?: string;
  json?: string;
  html?: string;
  compare?: string;
  tolerance: string;
  cohort?: string[];
  [scenarioKey: string]: unknown;
}

/** Keys that hold lists, and the flag that adds to them. */
const MANY: Record<string, string> = { cohorts: 'cohort', failIf: 'fail-if' };

const collect = (text: string, before: string[] = []): string[] => [...before, text];

/** The command `load`. Its action sets the exit code of the process. */
export function loadCommand(): Command {
  const command = new Command('load')
    .description('Load a server with members of whom some are slow, and see what the others get.')
    .argument('[url]', 'Where the server is: ws://host:port/path, or http:// for SockJS.')
    .helpOption('-h, --help', 'Show this.');
  const add = (
    group: string,
    flag: string,
    description: string,
    { preset, choices, many }: { preset?: string; choices?: readonly string[]; many?: true } = {},
  ): void => {
    const option = new Option(flag, description).helpGroup(`${group}:`);
    if (choices) option.choices(choices);
    if (preset !== undefined) option.default(preset);
    if (many) option.argParser(collect);
    command.addOption(option);
  };
  add('What', '--scenario <name|file>', 'Start from a scenario: a number, a name or a .json file.');
  add('What', '--list-scenarios', 'Name the scenarios there are.');
  add('What', '--print-scenario', 'Print the resulting scenario as JSON and leave.');
  add('Target', '--target <name>', 'What it speaks.', { preset: 'roomcast', choices: TARGETS });
  add('Target', '--transport <name>', 'With roomcast: over what.', {
    preset: 'websocket',
    choices: TRANSPORTS,
  });
  add('Target', '--header <line>', 'Request header "Name: value"; may be repeated.', {
    many: true,
  });
  add('Target', '--join <text>', 'With ws, socketio: sent to join {room}.');
  add('Target', '--leave <text>', 'With ws, socketio: sent to leave {room}.');
  add('Target', '--publish <text>', 'With ws, socketio: sent to publish {data} to {room}.');
  add('Target', '--server-pid <pid>', 'Watch CPU and memory of this process (Linux).');
  add('Target', '--metrics-url <url>', 'Scrape here. With roomcast: /metrics of the server.');
  for (const [key, description] of Object.entries(SCENARIO_FLAGS)) {
    const flag = MANY[key];
    const preset = (DEFAULTS as Scenario)[key as keyof Scenario];
    const text = preset === undefined ? description : `${description} Default: ${preset}.`;
    if (flag) add('Scenario', `--${flag} <text>`, text, { many: true });
    else add('Scenario', `--${kebab(key)} <value>`, text);
  }
  add('Runs', '--workers <n>', 'Processes to generate the load with.', { preset: '1' });
  add('Runs', '--repeat <n>', 'Runs; the median one is shown, with the spread of all.', {
    preset: '1',
  });
  add('Output', '--json <file>', 'Write the report as JSON, with HDR histograms.');
  add('Output', '--html <file>', 'Write the report as one HTML file.');
  add('Output', '--compare <file>', 'Fail if a figure is worse than in this JSON report.');
  add('Output', '--tolerance <percent>', 'By how much it may be worse.', { preset: '15%' });
  return command
    .addHelpText('after', HELP)
    .action(async (url: string | undefined, flags: Flags) => {
      try {
        process.exitCode = await load(url, flags);
      } catch (error) {
        if (!(error instanceof LoadError)) throw error;
        process.stderr.write(`roomcast: ${error.message}\n`);
        process.exitCode = error.code === 'worker_lost' ? EXIT.void : EXIT.usage;
      }
    });
}

async function load(url: string | undefined, flags: Flags): Promise<number> {
  if (flags.listScenarios) {
    process.stdout.write(scenarioList());
    return EXIT.ok;
  }
  const scenario = scenarioOf(flags);
  if (flags.printScenario) {
    process.stdout.write(`${JSON.stringify(resolved(scenario), null, 2)}\n`);
    return EXIT.ok;
  }
  if (url === undefined)
    throw badOption('<url>', '', 'where the server is, like ws://host:8080/ws');
  const plan = planOf(url, flags, scenario);
  const repeat = parseCount('--repeat', flags.repeat, 1, 1000);
  const pid = flags.serverPid && parseCount('--server-pid', flags.serverPid, 1, 2 ** 31);
  const baseline = flags.compare === undefined ? undefined : readBaseline(flags, plan);
  for (const file of [flags.json, flags.html]) if (file !== undefined) checkWritable(file);

  const terminal = process.stderr.isTTY ? process.stderr : undefined;
  const progress = terminal && new Progress(plan, terminal);
  const interrupt = onInterrupt();
  let report: LoadReport;
  try {
    report = await loadTest(plan, {
      roomcast: version,
      repeat,
      baseline,
      serverPid: pid ? pid : undefined,
      metricsUrl: flags.metricsUrl,
      signal: interrupt.signal,
      onConnecting: (present) => progress?.connecting(present),
      onSecond: (second, server) => progress?.second(second, server),
      onDraining: () => progress?.draining(),
    });
  } finally {
    interrupt.dispose();
    progress?.done();
  }
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report)}\n`);
  if (flags.html !== undefined) writeFileSync(flags.html, htmlReport(report));
  process.stdout.write(summary(report));
  return report.verdict.exit;
}

/** The scenario named, with every flag given in its place. */
function scenarioOf(flags: Flags): Scenario {
  const given: Record<string, unknown> = {};
  for (const key of Object.keys(SCENARIO_FLAGS)) {
    const value = key === 'cohorts' ? flags.cohort : flags[key];
    if (value !== undefined) given[key] = value;
  }
  const base = flags.scenario === undefined ? {} : readScenario(flags.scenario);
  // A loop is open or closed: the flag for one takes the place of the scenario's other.
  const { rate, window, ...rest } = base;
  const pace = 'rate' in given || 'window' in given ? {} : { rate, window };
  return JSON.parse(JSON.stringify({ ...rest, ...pace, ...given })) as Scenario;
}

/** With every default spelled out, so that it can be kept as a file. */
function resolved(scenario: Scenario): Scenario {
  const { rate, ...defaults } = DEFAULTS;
  return { ...defaults, ...(scenario.window === undefined ? { rate } : {}), ...scenario };
}

function readScenario(wanted: string): Scenario {
  if (!wanted.endsWith('.json')) return findScenario(wanted);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(wanted, 'utf8'));
  } catch (error) {
    throw new LoadError('bad_scenario', `${wanted}: ${(error as Error).message}`);
  }
  return asScenario(value, wanted);
}

/** Checks all that can be checked before anything is connected. */
function planOf(url: string, flags: Flags, scenario: Scenario): Plan {
  const target: TargetSpec = {
    name: flags.target,
    url,
    transport: flags.transport,
    headers: Object.fromEntries((flags.header ?? []).map(parseHeader)),
    templates: JSON.parse(
      JSON.stringify({ join: flags.join, leave: flags.leave, publish: flags.publish }),
    ),
  };
  const workers = parseCount('--workers', flags.workers, 1, 64);
  const plan = resolvePlan(scenario, target, workers, newTag());
  createTarget(target, new Stamps(plan.tag));
  for (const text of plan.failIf) parseThreshold(text, plan);
  return plan;
}

function parseHeader(line: string): [string, string] {
  const match = /^([\w!#$%&'*+.^`|~-]+):\s*([^\r\n]*)$/.exec(line);
  if (!match) throw badOption('--header', line, 'Name: value');
  return [match[1]!, match[2]!];
}

function readBaseline(flags: Flags, plan: Plan): { report: LoadReport; tolerance: number } {
  const file = flags.compare ?? '';
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(flags.tolerance);
  if (!percent) throw badOption('--tolerance', flags.tolerance, 'a percentage such as 15%');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new LoadError('bad_report', `${file}: ${(error as Error).message}`);
  }
  return { report: asBaseline(text, file, plan), tolerance: Number(percent[1]) / 100 };
}

/** Better now than after the run. */
function checkWritable(file: string): void {
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
  } catch {
    throw badOption('output', file, 'a file in a folder that can be written to');
  }
}

/** The first SIGINT or SIGTERM ends the run early but in order, the second ends the process. */
function onInterrupt(): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const handle = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  };
  process.on('SIGINT', handle).on('SIGTERM', handle);
  return {
    signal: controller.signal,
    dispose() {
      process.off('SIGINT', handle).off('SIGTERM', handle);
    },
  };
}

function scenarioList(): string {
  const rows = Object.entries(SCENARIOS).map(
    ([number, { name, title }]) => `${number.padEnd(4)} ${name.padEnd(16)} ${title}`,
  );
  return `${rows.join('\n')}\n`;
}

function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

const HELP = `
Cohorts (the rest of the members is healthy):
${Object.entries(COHORT_KINDS)
  .map(([kind, text]) => `  ${kind.padEnd(10)} ${text}`)
  .join('\n')}
  All: delay, jitter, bandwidth (a distance to the server), name.
  Example: --cohort stalled=10% --cohort throttled=20,rate=8KiB/s,delay=80ms

Figures for --fail-if, as <figure>[@phase] > or < <limit>:
  <cohort>.p50 … p99.99, max, mean    from the moment a message was due
  <cohort>.service.p99 …              from the moment it was written
  <cohort>.rate                       deliveries a second
  <cohort>.joins.p99, .recoveries.p99, .evictions.p99, .gaps
  isolation                           healthy p99 in slow over healthy p99 in calm
  server.cpu, .cpuPerDelivery, .lockHold, .loopDelay, .rss, .rssGrowth
  refused, blocked

Exit codes:
  0    every check passed
  1    an invariant, a threshold or a comparison failed; the output names it
  2    a bad option, or a target that could not be reached
  3    void: the generator was saturated, or a worker was lost
  130  interrupted; what was measured until then is reported
`;
