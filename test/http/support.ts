/** Shared by the tests of the HTTP API: a hub with in-memory members, behind a real port. */

import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Authenticator } from '../../src/auth/authenticator.js';
import type { Broker } from '../../src/broker/broker.js';
import { MemoryBroker } from '../../src/broker/memory.js';
import type { CloseReason } from '../../src/errors.js';
import { buildHttp } from '../../src/http/app.js';
import type { HttpDeps } from '../../src/http/deps.js';
import { Sampler } from '../../src/http/sampler.js';
import { Detector } from '../../src/lock/index.js';
import { silent } from '../../src/log.js';
import { LoopClock } from '../../src/loop-clock.js';
import { Recorder } from '../../src/metrics/recorder.js';
import { createMetrics } from '../../src/metrics/registry.js';
import { type Config, commandLimits, defaults } from '../../src/options/config.js';
import { JsonCodec } from '../../src/protocol/json.js';
import { Hub } from '../../src/room/hub.js';
import { Member } from '../../src/room/member.js';
import { People } from '../../src/session/people.js';
import { Bodies } from '../../src/transport/bodies.js';
import type { Transport } from '../../src/transport/transport.js';

/** Accepts everything at once; with `stalled`, one batch only. */
export class FakeTransport implements Transport {
  readonly name = 'websocket';
  readonly remoteAddress = '203.0.113.7';
  readonly framing = {
    index: 0,
    encoding: { index: 0, encode: (text: string) => Buffer.from(`${text}\n`) },
    join: (frames: readonly Buffer[]) => Buffer.concat(frames),
  };
  stalled = false;
  writable = true;
  readonly progressAt = Number.NEGATIVE_INFINITY;
  readonly unconfirmedMessages = 0;
  readonly written: string[] = [];

  write(batch: Buffer): boolean {
    this.written.push(...batch.toString().trimEnd().split('\n'));
    this.writable = !this.stalled;
    return !this.stalled;
  }
  close(): void {}
  reset(): void {}

  /** The messages written so far. */
  get messages(): unknown[] {
    return this.written.map((text) => JSON.parse(text)).filter(({ type }) => type === 'message');
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The text as JSON. */
  readonly body: unknown;
}

export interface Ask {
  readonly headers?: Record<string, string>;
  /** Sent unchanged. */
  readonly body?: string | Buffer;
  /** Sent as JSON, with the content type. */
  readonly json?: unknown;
}

export type Served = Awaited<ReturnType<typeof serve>>;

/** A hub behind an HTTP API on its own port. */
export async function serve(
  options: Partial<Config> = {},
  overrides: Partial<HttpDeps> = {},
  given?: Broker,
) {
  const config = { ...defaults, ...options };
  const broker = given ?? new MemoryBroker(config);
  const limits = commandLimits(config);
  const detector = new Detector({ mode: 'strict' });
  const recorder = new Recorder();
  const clock = new LoopClock();
  const closed: [member: string, reason: CloseReason][] = [];
  const close = (member: Member, reason: CloseReason) => {
    closed.push([member.id, reason]);
    hub.memberships.remove(member);
  };
  const hub = new Hub(config, broker, new JsonCodec(), recorder, clock, close, detector);
  const auth = new Authenticator(config, silent, recorder);
  const people = new People(null);
  const brokers = { memory: broker instanceof MemoryBroker ? broker : null, redis: null };
  const metrics = createMetrics({
    recorder,
    gauges: hub,
    config,
    hub,
    brokers,
    auth,
    people,
    detector,
    log: silent,
    version: '1.2.3',
  });
  const sampler = new Sampler({ recorder, gauges: hub, detector, hub, brokers, people });
  const logged: unknown[] = [];
  const closing = new AbortController();
  const deps: HttpDeps = {
    config,
    limits,
    log: { error: (line: unknown) => logged.push(line) },
    hub,
    observer: recorder,
    detector,
    metrics,
    sampler,
    inTurn: (_request, step) => {
      while (step());
    },
    version: '1.2.3',
    bodies: new Bodies({ stallMs: 30_000, networkOf: () => 'test' }),
    streaming: () => {},
    close,
    peers: null,
    nodes: null,
    isInternal: () => false,
    auth: { isReady: true, mode: 'off' },
    historyLimitBytes: config.historyBytesTotal,
    people,
    closing: closing.signal,
    ...overrides,
  };
  const app = await buildHttp(deps);
  const server = createServer(app.handle).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  let members = 0;

  return {
    closed,
    closing,
    detector,
    hub,
    logged,
    port,
    recorder,

    /** Adds a member to these rooms. */
    async connect(...rooms: string[]) {
      const transport = new FakeTransport();
      members += 1;
      const member = new Member(`member-${members}`, transport, hub.memberContext);
      hub.memberships.add(member);
      for (const room of rooms) await hub.memberships.join(member, room);
      return { member, transport };
    },

    async ask(method: string, path: string, { headers, body, json }: Ask = {}): Promise<Answer> {
      const asked = request({ port, method, path, agent: false, headers: { ...headers } });
      if (json !== undefined) asked.setHeader('content-type', 'application/json');
      asked.end(json === undefined ? body : JSON.stringify(json));
      const [response] = await once(asked, 'response');
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      return {
        status: response.statusCode,
        headers: response.headers,
        text,
        get body() {
          return JSON.parse(text);
        },
      };
    },

    async stop(): Promise<void> {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      await app.close();
      await hub.close(1000);
      sampler.close();
      metrics.close();
    },
  };
}
