/**
 * `roomcast load`: builds a load test from flags and files, and writes its report to the terminal and to
 * files; the verdict is the exit code.
 *
 * Not here: the flags (`load-options.ts`), the measurement and the verdict (`src/load/`).
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { signToken } from '../auth/sign.js';
import { ConfigError } from '../errors.js';
import { type AgentInfo, Agents } from '../load/agent/agents.js';
import { inspectApart } from '../load/apart.js';
import { badOption, EXIT, LoadError } from '../load/error.js';
import { parseAddress, parseListen } from '../load/listen.js';
import { LiveMetrics } from '../load/live-metrics.js';
import { type LoadTestOptions, loadTest, newTag } from '../load/load-test.js';
import { type Plan, resolvePlan, type Scenario, withDefaults } from '../load/plan.js';
import { asBaseline } from '../load/report/compare.js';
import { checkOutputs, type Outputs, writeOutputs } from '../load/report/outputs.js';
import { Progress } from '../load/report/progress.js';
import type { LoadReport } from '../load/report/report.js';
import { asScenario, findScenario, SCENARIOS } from '../load/scenarios.js';
import { Stamps } from '../load/stamp.js';
import { openTarget, type TargetSpec } from '../load/targets/index.js';
import { protocolFile } from '../load/targets/protocol-file.js';
import { parseCount } from '../load/units.js';
import { parseThreshold } from '../load/verdict/threshold.js';
import type { Address } from '../load/wire/wire.js';
import { ACTIONS } from '../room/identity.js';
import { version } from '../version.js';
import { leaveWithReader } from './failure.js';
import { loadAgentCommand, readSecret } from './load-agent.js';
import { addLoadOptions, type LoadFlags, scenarioFlags } from './load-options.js';
import { secretOf } from './token.js';

/** The command `load`. Its action sets the exit code of the process. */
export function loadCommand(): Command {
  const command = addLoadOptions(new Command('load')).addCommand(loadAgentCommand());
  return command.action(async (url: string | undefined, flags: LoadFlags) => {
    // The exit code is the verdict, so the run continues even if nobody reads the output.
    process.stdout.off('error', leaveWithReader);
    for (const stream of [process.stdout, process.stderr]) {
      stream.off('error', goOnWithoutReader).on('error', goOnWithoutReader);
    }
    try {
      process.exitCode = await load(url, flags);
    } catch (error) {
      const isOurs = !(error instanceof LoadError);
      const text = isOurs ? `bug in roomcast load: ${inFull(error)}` : error.message;
      process.stderr.write(`roomcast: ${text}\n`);
      process.exitCode = isOurs ? EXIT.bug : EXIT.usage;
    }
  });
}

const goOnWithoutReader = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'EPIPE') throw error;
};

/** An error with its stack; an AggregateError with the errors it contains. */
function inFull(error: unknown): string {
  if (error instanceof AggregateError)
    return [error.message, ...error.errors.map(inFull)].join('\n');
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

async function load(url: string | undefined, flags: LoadFlags): Promise<number> {
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
  const plan = await planOf(url, flags, scenario);
  const repeat = parseCount('--repeat', flags.repeat, 1, 1000);
  const pid = flags.serverPid && parseCount('--server-pid', flags.serverPid, 1, 2 ** 31);
  const outputs = outputsOf(flags);
  checkOutputs(outputs);
  const report = await measured(plan, flags, { repeat, serverPid: pid ? pid : undefined });
  const unwritten = writeOutputs(report, outputs);
  for (const line of unwritten) process.stderr.write(`roomcast: ${line}\n`);
  const { exit } = report.verdict;
  return exit === EXIT.ok && unwritten.length > 0 ? EXIT.usage : exit;
}

/** Opens agents, metrics and progress display, runs the test, and closes them again. */
async function measured(
  plan: Plan,
  flags: LoadFlags,
  options: Pick<LoadTestOptions, 'repeat' | 'serverPid'>,
): Promise<LoadReport> {
  const close: (() => unknown)[] = [];
  try {
    const asked = agentsOf(flags);
    const agents = asked && (await Agents.connect(asked.addresses, asked.secret, version));
    if (agents) close.push(() => agents.close());
    const baseline =
      flags.compare === undefined ? undefined : readBaseline(flags, plan, agents?.info());
    const port = flags.metricsPort;
    const address = port === undefined ? undefined : parseListen('--metrics-port', port);
    const metrics = address && (await LiveMetrics.open(plan, '--metrics-port', address));
    if (metrics) close.push(() => metrics.close());
    const terminal = process.stderr.isTTY ? process.stderr : undefined;
    const progress = terminal && new Progress(plan, terminal);
    const interrupt = onInterrupt();
    close.push(() => {
      interrupt.dispose();
      progress?.done();
    });
    return await loadTest(plan, {
      ...options,
      roomcast: version,
      agents,
      baseline,
      metricsUrl: flags.metricsUrl,
      metricsHeaders: headersOf(flags),
      signal: interrupt.signal,
      onConnecting: (present) => progress?.connecting(present),
      onSecond: (second, server) => {
        progress?.second(second, server);
        metrics?.second(second);
      },
      onDraining: () => progress?.draining(),
    });
  } finally {
    for (const each of close.reverse()) await each();
  }
}

/** The named scenario, overridden by the given flags. */
function scenarioOf(flags: LoadFlags): Scenario {
  const given = scenarioFlags(flags);
  const base = flags.scenario === undefined ? {} : readScenario(flags.scenario);
  // A loop is either open or closed: a flag for one replaces the scenario's other.
  const { rate, window, ...rest } = base;
  const pace = 'rate' in given || 'window' in given ? {} : { rate, window };
  return JSON.parse(JSON.stringify({ ...rest, ...pace, ...given })) as Scenario;
}

/** Fills in every default, so that the output can be saved as a scenario file. */
function resolved(scenario: Scenario): Scenario {
  const { rate, ...rest } = withDefaults(scenario);
  return scenario.window === undefined ? { rate, ...rest } : rest;
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

/** Checks everything that can be checked before connecting. */
async function planOf(url: string, flags: LoadFlags, scenario: Scenario): Promise<Plan> {
  const target: TargetSpec = {
    ...(await spoken(flags)),
    url,
    transport: flags.transport,
    headers: await headersOfMembers(flags),
    templates: JSON.parse(
      JSON.stringify({ join: flags.join, leave: flags.leave, publish: flags.publish }),
    ),
  };
  const workers =
    parseCount('--workers', flags.workers, 1, 64) * (agentsOf(flags)?.addresses.length ?? 1);
  const plan = resolvePlan(scenario, target, workers, newTag());
  // A protocol file does not run in this process; first contact finds its errors.
  if (!target.protocol) await openTarget(target, new Stamps(plan.tag), () => {});
  for (const text of plan.failIf) parseThreshold(text, plan);
  return plan;
}

/** Lifetime of the members' token, in seconds: longer than any run. */
const TOKEN_SECONDS = 86_400;

/** Headers for the server's metrics: without the members' token, which is not for them. */
const headersOf = ({ header = [] }: LoadFlags) => Object.fromEntries(header.map(parseHeader));

/** Headers of members. With a token secret, all are one user with a token that permits everything. */
async function headersOfMembers(flags: LoadFlags): Promise<Record<string, string>> {
  const { tokenSecret, tokenSecretFile } = flags;
  const given = headersOf(flags);
  if (tokenSecret === undefined && tokenSecretFile === undefined) return given;
  const name = tokenSecret === undefined ? '--token-secret-file' : '--token-secret';
  if (flags.protocol !== undefined || (flags.target ?? 'roomcast') !== 'roomcast') {
    throw badOption(name, '(not shown)', 'it with roomcast as the target; others have --header');
  }
  let secret: string;
  try {
    secret = secretOf(
      {
        ...(tokenSecret !== undefined && { tokenSecret }),
        ...(tokenSecretFile !== undefined && { tokenSecretFile }),
      },
      {},
    );
  } catch (error) {
    if (error instanceof ConfigError)
      throw badOption(name, '(not shown)', error.allowed ?? error.message);
    throw error;
  }
  const rooms = { '*': ACTIONS };
  const token = await signToken(secret, { user: 'load', rooms, seconds: TOKEN_SECONDS });
  const others = Object.entries(given).filter(([name]) => !/^authorization$/i.test(name));
  return { ...Object.fromEntries(others), authorization: `Bearer ${token}` };
}

/** The target's name, and its protocol file, if any. */
async function spoken(flags: LoadFlags): Promise<Pick<TargetSpec, 'name' | 'protocol'>> {
  if (flags.protocol === undefined) return { name: flags.target ?? 'roomcast' };
  if (flags.target !== undefined) {
    throw badOption('--target', flags.target, 'either --target or --protocol');
  }
  const protocol = await protocolFile(flags.protocol);
  return { name: await inspectApart(protocol), protocol };
}

function parseHeader(line: string): [string, string] {
  const match = /^([\w!#$%&'*+.^`|~-]+):\s*([^\r\n]*)$/.exec(line);
  if (!match) throw badOption('--header', line, 'Name: value');
  return [match[1]!, match[2]!];
}

function readBaseline(
  flags: LoadFlags,
  plan: Plan,
  agents?: readonly AgentInfo[],
): { report: LoadReport; tolerance: number } {
  const file = flags.compare ?? '';
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(flags.tolerance);
  if (!percent) throw badOption('--tolerance', flags.tolerance, 'a percentage such as 15%');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new LoadError(
      'bad_report',
      `${file}: ${(error as Error).message}: expected a report of --json`,
    );
  }
  return { report: asBaseline(text, file, plan, agents), tolerance: Number(percent[1]) / 100 };
}

/** The addresses of the agents, and the secret they share. */
function agentsOf(flags: LoadFlags): { addresses: Address[]; secret: string } | undefined {
  if (flags.agents === undefined && flags.secretFile === undefined) return;
  if (flags.agents === undefined) {
    throw badOption('--secret-file', flags.secretFile, '--agents with it');
  }
  const addresses = flags.agents.split(',').map((text) => parseAddress('--agents', text.trim()));
  return { addresses, secret: readSecret(flags.secretFile) };
}

function outputsOf({ json, html, junit, markdown }: LoadFlags): Outputs {
  return JSON.parse(JSON.stringify({ json, html, junit, markdown })) as Outputs;
}

/** The first SIGINT or SIGTERM ends the run early but in order; the second exits the process. */
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
  const more = `\nAlso <kind>-<percent>, like stalled-10: S2 with that share of a kind of cohort (see --help).`;
  return `${rows.join('\n')}\n${more}\n`;
}
