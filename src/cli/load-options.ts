/**
 * The flags of `roomcast load` (one per scenario key, and those of the run) and its help text.
 * Not here: their effect (load.ts), their allowed values (`src/load/`).
 */
import { type Command, Option } from 'commander';
import { COHORT_KINDS } from '../load/cohort.js';
import { CHECKS, DEFAULTS, type Scenario } from '../load/plan.js';
import { TARGETS, type TargetName, TRANSPORTS, type TransportName } from '../load/targets/index.js';

/** Scenario keys as flags, with descriptions. Scenario files have the same keys and values. */
const SCENARIO_FLAGS: Record<Exclude<keyof Scenario, 'name' | 'title'>, string> = {
  members: 'Connections that receive.',
  rooms: 'Rooms that members are spread over.',
  roomPrefix: 'Prefix of room names; on a roomcast its namespace selects the policy.',
  roomsPerMember: 'Rooms per member.',
  publishers: 'Publishing connections a room.',
  publishFrom: 'own: connections that only publish; members: members publish.',
  size: 'Payload of a message; at least 34 bytes.',
  rate: 'Open loop: messages a second in total, each sent when due.',
  window: 'Closed loop instead: messages in flight per room.',
  duration: 'All phases together; each gets a share in proportion to its length below.',
  rampUp: 'Time over which members connect. Default: 1 ms per member.',
  settle: 'Pause between the last join and the first message.',
  warmup: 'First phase: all members read; not judged.',
  calm: 'Then all members read, for this long over all turns; baseline of the isolation ratio.',
  fill: 'Then, in each turn, slow members turn slow; not judged. 5s when cohorts are given.',
  slow: 'Then they are slow, for this long over all turns; judged. 10s when cohorts are given.',
  rest: 'Between two turns: slow members catch up; not judged. 2s when cohorts are given.',
  turns:
    'Turns that calm and slow are split into: 3 when cohorts are given, 1 with --evict-within.',
  recover: 'Last phase: all members read again.',
  drain: 'Longest wait, at the end, for messages that members are still owed.',
  silence: 'A healthy member that receives nothing for longer counts as blocked.',
  evictWithin: 'Stalled members must be disconnected within this time.',
  cohorts: 'Slow members: <kind>=<count or %>[,key=value…]; may be repeated. See below.',
  failIf: 'Fail if true, like healthy.p99>250ms; may be repeated. See below.',
  skip: 'Name of a check to skip; may be repeated. See below.',
  seed: 'Determines which members are slow, and when.',
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

/** Keys with lists, and the flags that append to them. */
const MANY: Record<string, string> = { cohorts: 'cohort', failIf: 'fail-if', skip: 'skip' };

const collect = (text: string, before: string[] = []): string[] => [...before, text];

/** Adds the argument, every flag and the help text after them. */
export function addLoadOptions(command: Command): Command {
  command
    .description('Load a server with members, some of them slow, and measure what the others get.')
    .argument('[url]', 'URL of the server: ws://host:port/path, or http:// for SockJS.')
    .helpOption('-h, --help', 'Show this help.');
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
  add('What', '--list-scenarios', 'List the scenarios.');
  add('What', '--print-scenario', 'Print the resulting scenario as JSON and exit.');
  add('Target', '--target <name>', 'Protocol of the server. Default: roomcast.', {
    choices: TARGETS,
  });
  add('Target', '--protocol <file>', 'JavaScript module with the protocol, instead of --target.');
  add('Target', '--transport <name>', 'Transport; only with roomcast.', {
    preset: 'websocket',
    choices: TRANSPORTS,
  });
  add('Target', '--header <line>', 'Request header "Name: value"; may be repeated.', {
    many: true,
  });
  add(
    'Target',
    '--token-secret <secret>',
    'Token secret of a roomcast; all members are then one user.',
  );
  add('Target', '--token-secret-file <file>', 'File with that secret: other users can read flags.');
  add('Target', '--join <text>', 'With ws, socketio: text that joins {room}.');
  add('Target', '--leave <text>', 'With ws, socketio: text that leaves {room}.');
  add('Target', '--publish <text>', 'With ws, socketio: text that publishes {data} to {room}.');
  add('Target', '--server-pid <pid>', 'Watch CPU and memory of this process (Linux).');
  add('Target', '--metrics-url <url>', 'URL to scrape. With roomcast: /metrics of the server.');
  for (const [key, description] of Object.entries(SCENARIO_FLAGS)) {
    const flag = MANY[key];
    const preset = (DEFAULTS as Scenario)[key as keyof Scenario];
    const text = preset === undefined ? description : `${description} Default: ${preset}.`;
    if (flag) add('Scenario', `--${flag} <text>`, text, { many: true });
    else add('Scenario', `--${kebab(key)} <value>`, text);
  }
  add('Runs', '--workers <n>', 'Processes that generate the load.', { preset: '1' });
  add('Runs', '--agents <host:port,…>', 'Machines that generate it, with --workers each.');
  add('Runs', '--secret-file <file>', 'The secret of the agents.');
  add('Runs', '--repeat <n>', 'Number of runs; shows the median one, and the spread of all.', {
    preset: '1',
  });
  add('Output', '--json <file>', 'Write the report as JSON, with HDR histograms; - is stdout.');
  add('Output', '--html <file>', 'Write the report as one HTML file.');
  add('Output', '--junit <file>', 'Write the checks as JUnit XML.');
  add('Output', '--markdown <file>', 'Write the report as Markdown.');
  add('Output', '--metrics-port <[host:]port>', 'Serve /metrics to Prometheus during the test.');
  add('Output', '--compare <file>', 'Fail if a figure is worse than in this JSON report.');
  add('Output', '--tolerance <percent>', 'How much worse it may be.', { preset: '15%' });
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
Cohorts (the other members are healthy):
${Object.entries(COHORT_KINDS)
  .map(([kind, text]) => `  ${kind.padEnd(10)} ${text}`)
  .join('\n')}
  All: delay, jitter, bandwidth (simulate a distance to the server), name.
  since=true: vanishing, churning members return with their position and are owed the rest.
  backfill=true: members that read slowly or not at all request what gaps named.
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
  0    passed: every check that could be judged passed
  1    failed: a check, a threshold or a comparison; the output names it
  2    a bad option, or a target that could not be reached
  3    void: the generator or the machine was the limit, or no member was slow
  4    incomplete: something that should have been seen was not, or a worker was lost
  70   a bug of roomcast load itself
  130  interrupted; what was measured until then is reported
`;
