/** What the tests of the HTTP API share: a hub with members that exist only in memory, served on a port. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MemoryBroker } from '../../src/broker/memory.js';
import { type Config, defaults } from '../../src/config.js';
import type { CloseReason } from '../../src/errors.js';
import { buildHttp } from '../../src/http/app.js';
import type { HttpDeps } from '../../src/http/deps.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { createMetrics } from '../../src/metrics/registry.js';
import { JsonCodec } from '../../src/protocol/json.js';
import { Hub } from '../../src/room/hub.js';
import { Member } from '../../src/room/member.js';
import type { Transport } from '../../src/transport/transport.js';

/** Takes everything at once, or nothing while `stalled`. */
export class FakeTransport implements Transport {
  readonly name = 'websocket';
  readonly remoteAddress = '203.0.113.7';
  readonly framing = {
    index: 0,
    encoding: { index: 0, encode: (text: string) => Buffer.from(text) },
    join: (frames: readonly Buffer[]) => Buffer.concat(frames.flatMap((f) => [f, NEWLINE])),
  };
  stalled = false;
  writable = true;
  readonly written: string[] = [];

  write(batch: Buffer): boolean {
    this.written.push(...batch.toString().trimEnd().split('\n'));
    this.writable = !this.stalled;
    return !this.stalled;
  }
  close(): void {}
  reset(): void {}

  /** Messages written, parsed. */
  messages(): Record<string, unknown>[] {
    const all = this.written.map((text) => JSON.parse(text) as Record<string, unknown>);
    return all.filter(({ type }) => type === 'message');
  }
}

const NEWLINE = Buffer.from('\n');

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON. */
  // biome-ignore lint: no
  readonly body: unknown;
}
