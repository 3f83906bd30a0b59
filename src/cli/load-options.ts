/**
 * The flags of `roomcast load`: one a scenario key, and those of the run; and the text of its help.
 * Not here: what they do (load.ts), what values are allowed (`src/load/`).
 */
import { type Command, Option } from 'commander';
import { COHORT_KINDS } from '../load/cohort.js';
import { CHECKS, DEFAULTS, type Scenario } from '../load/plan.js';
import { TARGETS, type TargetName, TRANSPORTS, type TransportName } from '../load/targets/index.js';

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
  duration: 'All phases together; each gets its share, by the lengths below.',
  rampUp: 'Time over which members connect. Default: 1 ms a member.',
  settle: 'Pause between the last join and the first message.',
  warmup: 'First phase: everybody reads; not judged.',
  calm: 'Then everybody reads, in all turns together; the baseline of the isolation ratio.',
  fill: 'Then, in each turn, slow members turn slow; not judged. 5s when cohorts are given.',
  slow: 'Then they still are, in all turns together; judged. 10s when cohorts are given.',
  rest: 'Between two turns: slow members catch up; not judged. 2s when cohorts are given.',
  turns: 'Turns that calm and slow are cut into: 3 when cohorts are given, 1 with --evict-within.',
  recover: 'Last phase: everybody reads again.',
  drain: 'Longest wait, at the end, for what members are still owed.',
  silence: 'A healthy member that gets nothing for longer has been blocked.',
  evictWithin: 'Stalled members must be disconnected within this.',
  cohorts: 'Slow members: <kind>=<count or %>[,key=value…]; may be repeated. See below.',
  failIf: 'Fail if true, like healthy.p99>250ms; may be repeated. See below.',
  skip: 'A check that does not count, by its name; may be repeated. See below.',
  seed: 'Decides who is slow and when.',
};

export interface LoadFlags {
  target?: TargetName;
  protocol?: string;
  transport: TransportName;
  header?: string[];
  tokenSecret?: string;
  tokenSecretFile?: string;
  join?: string;
  leave?: string;
  publish?: string;
  scenario?: string;
  listScenarios?: true;
  printScenario?: true;
  workers: string;
  agents?: string;
  secretFile?: string;
  repeat: string;
  serverPid?: string;
  metricsUrl?: string;
  metricsPort?: string;
  json?: string;
  html?: string;
  junit?: string;
  markdown?: string;
  compare?: string;
  tolerance: string;
  cohort?: string[];
  [scenarioKey: string]: unknown;
}

/** Keys that hold lists, and the flag that adds to them. */
const MANY: Record<string, string> = { cohorts: 'cohort', failIf: 'fail-if', skip: 'skip' };

const collect = (text: string, before: string[] = []): string[] => [...before, text];

/** Adds the argument, every flag and the text after them. */
export function addLoadOptions(command: Command): Command {
  command
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
  add('Target', '--target <name>', 'What it speaks. Default: roomcast.', { choices: TARGETS });
  add('Target', '--protocol <file>', 'Speak what this JavaScript module says, instead.');
  add('Target', '--transport <name>', 'With roomcast: over what.', {
    preset: 'websocket',
    choices: TRANSPORTS,
  });
  add('Target', '--header <line>', 'Request header "Name: value"; may be repeated.', {
    many: true,
  });
  add(
    'Target',
    '--token-secret <secret>',
    'With roomcast: of the server; members are one user then.',
  );
  add('Target', '--token-secret-file <file>', 'A file with it: others can read flags.');
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
  add('Runs', '--agents <host:port,…>', 'Generate it on these machines; --workers each.');
  add('Runs', '--secret-file <file>', 'What the agents were started with.');
  add('Runs', '--repeat <n>', 'Runs; the median one is shown, with the spread of all.', {
    preset: '1',
  });
  add('Output', '--json <file>', 'Write the report as JSON, with HDR histograms; - is stdout.');
  add('Output', '--html <file>', 'Write the report as one HTML file.');
  add('Output', '--junit <file>', 'Write the checks as JUnit XML.');
  add('Output', '--markdown <file>', 'Write the report as Markdown.');
  add('Output', '--metrics-port <[host:]port>', 'Serve /metrics for Prometheus while it runs.');
  add('Output', '--compare <file>', 'Fail if a figure is worse than in this JSON report.');
  add('Output', '--tolerance <percent>', 'By how much it may be worse.', { preset: '15%' });
  return command.addHelpText('after', HELP);
}

/** The scenario keys that were given as flags. */
export function scenarioFlags(flags: LoadFlags): Scenario {
  const given: Record<string, unknown> = {};
  for (const key of Object.keys(SCENARIO_FLAGS)) {
    const value = key === 'cohorts' ? flags.cohort : flags[key];
    if (value !== undefined) given[key] = value;
  }
  return given as Scenario;
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
  since=true: who vanishes or churns is back with its position, and owed all it missed.
  backfill=true: who reads slowly or not at all asks for what gaps have named.
  Example: --cohort stalled=10% --cohort throttled=20,rate=8KiB/s,delay=80ms

Figures for --fail-if, as <figure>[@phase] > or < <limit>:
  <cohort>.p50 … p99.99, max, mean    from the moment a message was due
  <cohort>.service.p99 …              from the moment it was written
  <cohort>.rate                       deliveries a second
  <cohort>.joins.p99, .recoveries.p99, .evictions.p99, .backfills.p99, .gaps
  isolation                           healthy p99 in slow over healthy p99 in calm
  server.cpu, .cpuPerDelivery, .lockHold, .loopDelay, .rss, .rssGrowth
  refused, blocked

Checks, each on unless it is skipped by name; docs/load.md says what each means:
  ${CHECKS.join(', ')}

Exit codes:
  0    passed: every check that could be judged
  1    failed: a check, a threshold or a comparison; the output names it
  2    a bad option, or a target that could not be reached
  3    void: the generator or the machine was the limit, or nothing slow happened
  4    incomplete: something that should have been seen was not, or a worker was lost
  70   a bug of roomcast load itself
  130  interrupted; what was measured until then is reported
`;
