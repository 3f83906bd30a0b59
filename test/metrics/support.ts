/** Helpers for the tests of metrics: a fake server state, and a parser of the text format. */

import { MemoryBroker } from '../../src/broker/memory.js';
import { Detector } from '../../src/lock/index.js';
import { silent } from '../../src/log.js';
import type { Behind, Gauges } from '../../src/metrics/gauges.js';
import { Recorder } from '../../src/metrics/recorder.js';
import type { MetricsOptions } from '../../src/metrics/registry.js';
import type { Encoding, Transport } from '../../src/transport/transport.js';

/** Options for `createMetrics`, of a server without any activity. */
export function sources(): MetricsOptions & { recorder: Recorder; gauges: FakeGauges } {
  return {
    recorder: new Recorder(),
    gauges: new FakeGauges(),
    detector: new Detector(),
    config: { maxConnections: 10_000, maxRooms: 0 },
    hub: {
      replays: { size: 0 },
      backfills: { size: 0 },
      presence: { rooms: 0, watchers: 0, lingering: 0 },
      brokerState: 'up',
    },
    brokers: { memory: new MemoryBroker(), redis: null },
    auth: { isReady: true, keysAgeMs: null, revocations: null },
    people: { size: 0 },
    log: silent,
    version: '1.2.3',
  };
}

export class FakeGauges implements Gauges {
  rooms = new Set<string>();
  members = new Set<{ transport: Pick<Transport, 'framing'> }>();
  behind = new Set<FakeMember>();
  memory = { bytes: 0, limit: 1000 };

  /** Adds members that have only a transport, given as an index of `TRANSPORTS`. */
  connect(transport: number, count: number): void {
    const framing = { index: transport, encoding: textEncoding, join: () => Buffer.alloc(0) };
    for (let i = 0; i < count; i += 1) this.members.add({ transport: { framing } });
  }
}

const textEncoding: Encoding = { index: 0, encode: Buffer.from };

export class FakeMember implements Behind {
  health: Behind['health'] = 'healthy';
  queuedMessages = 0;
  queuedBytes = 0;
  lag = 0;
  lagMs(): number {
    return this.lag;
  }
}

/** Value by series, as in `name{label="value"}`, from the text format. */
export function parse(text: string): Map<string, number> {
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, value] = /^(.+) (\S+)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`not a sample: ${line}`);
    if (series.has(name)) throw new Error(`twice: ${name}`);
    series.set(name, Number(value.replace('Inf', 'Infinity')));
  }
  return series;
}

/** Sum over the labels of one metric. */
export function sum(series: ReadonlyMap<string, number>, name: string): number {
  let total = 0;
  for (const [key, value] of series) {
    if (key === name || key.startsWith(`${name}{`)) total += value;
  }
  return total;
}

/** V10: fanned out minus delivered, dropped, abandoned and queued. */
export function unaccounted(series: ReadonlyMap<string, number>): number {
  return (
    sum(series, 'roomcast_fanout_total') -
    sum(series, 'roomcast_delivered_total') -
    sum(series, 'roomcast_dropped_total') -
    sum(series, 'roomcast_abandoned_total') -
    sum(series, 'roomcast_queue_messages')
  );
}
