/**
 * `--metrics-port`: serves the state of the running test to Prometheus. The plan fixes the series: one
 * per cohort, one per phase (V9). Ends with the test (V8).
 * Not here: the server's own metrics (server-probe.ts reads them).
 */
import { createServer, type Server } from 'node:http';
import { listen } from './listen.js';
import type { Second } from './measure/result.js';
import { PHASES, type Plan } from './plan.js';
import type { Address } from './wire/wire.js';

interface CohortTotals {
  delivered: number;
  announced: number;
}

export class LiveMetrics {
  readonly #plan: Plan;
  readonly #server: Server;
  readonly #totals: CohortTotals[];
  #sent = 0;
  #last: Second | undefined;

  /** @throws LoadError `bad_option` when it cannot listen there */
  static async open(plan: Plan, option: string, address: Address): Promise<LiveMetrics> {
    const metrics = new LiveMetrics(plan);
    await listen(metrics.#server, option, address);
    return metrics;
  }

  private constructor(plan: Plan) {
    this.#plan = plan;
    this.#totals = plan.cohorts.map(() => ({ delivered: 0, announced: 0 }));
    this.#server = createServer((request, response) => {
      const found = request.method === 'GET' && request.url?.split('?')[0] === '/metrics';
      response.writeHead(found ? 200 : 404, { 'Content-Type': 'text/plain; version=0.0.4' });
      response.end(found ? this.#text() : 'The metrics are at GET /metrics.\n');
    });
  }

  second(second: Second): void {
    this.#last = second;
    this.#sent += second.sent;
    second.cohorts.forEach(({ delivered, announced }, i) => {
      this.#totals[i]!.delivered += delivered;
      this.#totals[i]!.announced += announced;
    });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #text(): string {
    const last = this.#last;
    const byCohort = (value: (i: number) => number): [string, number][] =>
      this.#plan.cohorts.map(({ name }, i) => [`{cohort="${name}"}`, value(i)]);
    const quantiles = this.#plan.cohorts.flatMap(({ name }, i): [string, number][] =>
      (['p50', 'p99'] as const).map((p) => [
        `{cohort="${name}",quantile="0.${p.slice(1)}"}`,
        seconds(last?.cohorts[i]?.[p] ?? null),
      ]),
    );
    return [
      series('sent_total', 'counter', 'Messages published.', [['', this.#sent]]),
      series(
        'delivered_total',
        'counter',
        'Messages received by members.',
        byCohort((i) => this.#totals[i]!.delivered),
      ),
      series(
        'announced_total',
        'counter',
        'Messages that the server announced as lost.',
        byCohort((i) => this.#totals[i]!.announced),
      ),
      series(
        'members',
        'gauge',
        'Members in all their rooms.',
        byCohort((i) => last?.cohorts[i]?.present ?? 0),
      ),
      series(
        'latency_seconds',
        'gauge',
        'Latency of messages that arrived in the last second, from when they were due; NaN if none did.',
        quantiles,
      ),
      series(
        'phase',
        'gauge',
        '1 for the phase of the last second.',
        PHASES.map((name) => [`{phase="${name}"}`, last?.phase === name ? 1 : 0]),
      ),
      series(
        'generator_busy_ratio',
        'gauge',
        'Event loop utilization of the busiest worker; above 0.9 the generator measures itself.',
        [['', last?.utilization ?? 0]],
      ),
      series('generator_loop_delay_seconds', 'gauge', 'p99 event loop delay of the worst worker.', [
        ['', seconds(last?.loopDelayP99 ?? 0)],
      ]),
    ].join('');
  }
}

function series(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  values: readonly (readonly [labels: string, value: number])[],
): string {
  const full = `roomcast_load_${name}`;
  const lines = values.map(([labels, value]) => `${full}${labels} ${value}\n`);
  return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines.join('')}`;
}

function seconds(micros: number | null): number {
  return micros === null ? Number.NaN : micros / 1e6;
}
