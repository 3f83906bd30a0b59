/**
 * One run from first contact to the end: checks that the target answers, leads the workers through
 * connect, phases, drain and close, and samples the server meanwhile.
 * Not here: the verdict (verdict/), the report (report/).
 */
import type { Agents } from './agent/agents.js';
import { meetApart } from './apart.js';
import { machineMicros } from './clock.js';
import { meet } from './contact.js';
import type { Sent } from './engine.js';
import { badOption, LoadError } from './error.js';
import { Fleet } from './fleet.js';
import { Merge } from './measure/merge.js';
import { outcome, type Ran } from './measure/outcome.js';
import type { RunResult, Second, ServerSample } from './measure/result.js';
import type { Counters } from './measure/tally.js';
import type { WorkerReport } from './measure/worker-report.js';
import { type Plan, releaseMs } from './plan.js';
import { aside } from './publishers.js';
import { ServerProbe } from './server-probe.js';

const SAMPLE_MS = 1000;

export interface RunOptions {
  /** Agents that generate the load, instead of this machine. */
  readonly agents?: Agents | undefined;
  /** A process on this machine whose CPU and memory are sampled. */
  readonly serverPid?: number | undefined;
  /** URL to scrape, instead of the target's usual metrics URL. */
  readonly metricsUrl?: string | undefined;
  /** Request headers of the scrapes. */
  readonly metricsHeaders?: Readonly<Record<string, string>> | undefined;
  /** Stops the run early; what was measured until then is returned. */
  readonly signal?: AbortSignal | undefined;
  readonly onConnecting?: ((present: number) => void) | undefined;
  readonly onSecond?: ((second: Second, server: ServerSample | null) => void) | undefined;
  readonly onDraining?: (() => void) | undefined;
}

/**
 * @throws LoadError `unreachable` when the target does not answer, `bad_option`, `bad_protocol`
 */
export async function run(plan: Plan, options: RunOptions = {}): Promise<RunResult> {
  const startedAt = new Date().toISOString();
  const { protocol } = plan.target;
  const probe = new ServerProbe(options.metricsHeaders ?? {}, options.serverPid);
  const target = protocol ? await meetApart(plan, protocol.file) : await meet(plan);
  probe.metricsUrl = options.metricsUrl ?? target.metricsUrl;
  const before = await probe.sample(0);
  if (options.metricsUrl !== undefined && probe.missing !== undefined) {
    throw badOption(
      '--metrics-url',
      options.metricsUrl,
      `a page of metrics for Prometheus (${probe.missing})`,
    );
  }

  const { agents } = options;
  await agents?.measure('before');
  const epoch = machineMicros();
  const samples: ServerSample[] = [];
  const merge: Merge = new Merge(plan, (second) =>
    options.onSecond?.(second, samples.at(-1) ?? null),
  );
  const present = (): number =>
    plan.cohorts.reduce((sum, _, i) => sum + merge.counters(i).present, 0);
  let connecting = true;
  const onReport = (worker: number, report: WorkerReport): void => {
    merge.add(worker, report);
    if (connecting) options.onConnecting?.(present());
  };
  const fleet = await Fleet.open(plan, epoch, onReport, agents);
  const { signal } = options;
  const stop = (): void => fleet.stop();
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();

  try {
    await fleet.connect();
    connecting = false;
    if (present() === 0 && !signal?.aborted && fleet.lost === null) {
      throw new LoadError('unreachable', `no member could join: ${whyNot(merge.counters(0))}`);
    }
    const start = machineMicros() - epoch + plan.settleMs * 1000;
    const watch = watchServer(probe, epoch + start, aside(plan) / 1000, samples);
    const sent = await fleet.run(start).finally(() => watch.stop());
    const stoppedAt = fleet.lost === null ? sent.stoppedAt : machineMicros() - epoch;
    // How much a lost worker sent is unknown, so what members are owed is unknown too: no drain.
    if (fleet.lost === null) {
      options.onDraining?.();
      await fleet.drain(
        target.numbered
          ? byIndex(plan.rooms, sent.finals)
          : byIndex(plan.rooms * plan.publishersPerRoom, sent.byPublisher),
        target.numbered && sent.confirmed === sent.asked,
      );
    }
    await fleet.close();
    const lostAgent = (await agents?.measure('after')) ?? null;
    const lost = fleet.lost ?? lostAgent;
    const after = await released(probe, before, lost === null ? releaseMs(plan) : 0, signal);
    return outcome({
      plan,
      merge,
      startedAt,
      ran: Math.max(0, (stoppedAt - start) / 1e6),
      interrupted: signal?.aborted ?? false,
      lost,
      clockError: agents?.clockError() ?? null,
      ...(target.numbered ? confirmedEnd(sent) : { accepted: null, confirmations: null }),
      server: { before, after, samples, missing: probe.missing ?? null },
    });
  } catch (error) {
    await fleet.close().catch((later: unknown) => {
      throw new AggregateError([error, later], `${error}; and then, while closing: ${later}`);
    });
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function whyNot({ failures, closes, refused }: Counters): string {
  const reasons = Object.entries({ ...failures, ...closes, ...refused });
  return reasons.map(([reason, times]) => `${reason} (${times} times)`).join(', ') || 'no answer';
}

/**
 * @param start machine's µs
 * @param behind delay after each full second before its sample is taken, in ms
 */
function watchServer(
  probe: ServerProbe,
  start: number,
  behind: number,
  samples: ServerSample[],
): { stop(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let sampling: Promise<void> = Promise.resolve();
  const at = (): number => (machineMicros() - start) / 1e6;
  const sample = async (): Promise<void> => {
    const taken = await probe.sample(at());
    if (taken) samples.push(taken);
  };
  const next = (): void => {
    const since = at() * 1000 - behind;
    const early = SAMPLE_MS - (((since % SAMPLE_MS) + SAMPLE_MS) % SAMPLE_MS);
    // A timer may fire a little early; without this the same second would be sampled twice.
    const wait = early < SAMPLE_MS / 2 ? early + SAMPLE_MS : early;
    timer = setTimeout(() => {
      sampling = sample().then(() => {
        if (!stopped) next();
      });
    }, wait);
  };
  next();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await sampling;
      // Rates over a fraction of a second are not meaningful.
      if (at() - (samples.at(-1)?.at ?? 0) > SAMPLE_MS / 2000) await sample();
    },
  };
}

/** Waits until the server has released the run's members and queues, as far as its metrics tell. */
async function released(
  probe: ServerProbe,
  before: ServerSample | null,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<ServerSample | null> {
  const deadline = performance.now() + ms;
  for (;;) {
    const now = await probe.sample(0);
    const held = (now?.members ?? 0) > (before?.members ?? 0) || (now?.queueBytes ?? 0) > 0;
    if (!held || performance.now() > deadline || signal?.aborted) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** How many messages got a sequence number; known only if every publisher's last message was confirmed. */
function confirmedEnd({ finals, asked, confirmed }: Sent): Pick<Ran, 'accepted' | 'confirmations'> {
  // The rooms exist only for this run and count from 1.
  const numbered = finals.reduce((sum, [, seq]) => sum + seq, 0);
  return {
    accepted: confirmed === asked ? numbered : null,
    confirmations: { asked, got: confirmed },
  };
}

function byIndex(length: number, entries: readonly (readonly [number, number])[]): number[] {
  const values = new Array<number>(length).fill(0);
  for (const [index, value] of entries) values[index] = value;
  return values;
}
