/**
 * The OpenTelemetry SDK records the spans, as in an app; messages use real sockets.
 */
import { context, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { afterAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { Refusal } from '../src/errors.js';
import type { RoomcastOptions } from '../src/parts.js';
import { MAX_LINKS } from '../src/room/trace.js';
import { startTestServer } from '../src/testing.js';
import { DelegateBroker } from './support/delegate-broker.js';
import { PlannedError } from './support/planned-error.js';
import { connectReading } from './support/reading-peer.js';

const exporter = new InMemorySpanExporter();
let failing: 'onStart' | 'onEnd' | null = null;
const fail = (when: typeof failing) => () => {
  if (failing === when) throw new PlannedError('a processor that fails');
};
const provider = new NodeTracerProvider({
  spanProcessors: [
    new SimpleSpanProcessor(exporter),
    {
      onStart: fail('onStart'),
      onEnd: fail('onEnd'),
      forceFlush: async () => {},
      shutdown: async () => {},
    },
  ],
});
provider.register();
afterAll(() => provider.shutdown());
beforeEach(() => {
  failing = null;
  exporter.reset();
});

async function start(options: RoomcastOptions = {}) {
  const server = await startTestServer({ tracing: true, publishRate: 0, ...options });
  onTestFinished(() => server.close());
  return server;
}

/** Connects a client and joins the room `a`. */
async function member(url: string) {
  const peer = await connectReading('websocket', url);
  peer.say({ type: 'join', id: 1, room: 'a' });
  await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  const has = (count: number) => () =>
    peer.events.filter(({ type }) => type === 'message').length === count;
  return { peer, received: (count: number) => peer.until(has(count)) };
}

const called = (name: string): ReadableSpan[] =>
  exporter.getFinishedSpans().filter((span) => span.name === name);
const parentOf = (span: ReadableSpan | undefined) => span?.parentSpanContext?.spanId;
const idOf = (span: ReadableSpan | undefined) => span?.spanContext().spanId;

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

function post(url: string, flags: string) {
  return fetch(`${url}/v1/rooms/a/messages`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      traceparent: `00-${TRACE}-${PARENT}-${flags}`,
    },
    body: '{"data":1}',
  });
}

test('a publish is a child of the app’s current span, its delivery a child of the publish', async () => {
  const server = await start();
  const { received } = await member(server.httpUrl);
  const own: Span = trace.getTracer('app').startSpan('work');
  const { seq, epoch } = await context.with(trace.setSpan(context.active(), own), () =>
    server.publish('a', 1),
  );
  own.end();
  await received(1);
  const [publish, deliver] = [called('publish')[0], called('deliver')[0]];
  expect(parentOf(publish)).toBe(own.spanContext().spanId);
  expect(publish?.attributes).toEqual({
    'messaging.system': 'roomcast',
    'messaging.operation.name': 'publish',
    'messaging.destination.name': 'a',
    'roomcast.seq': seq,
    'roomcast.epoch': epoch,
  });
  expect(parentOf(deliver)).toBe(idOf(publish));
  expect(deliver?.attributes).toEqual({
    'messaging.system': 'roomcast',
    'messaging.operation.name': 'deliver',
    'messaging.destination.name': 'a',
    'messaging.batch.message_count': 1,
    'roomcast.members': 1,
  });
});

test('a publish over a socket starts a trace; one flush of several is one delivery with links', async () => {
  const server = await start();
  const { peer, received } = await member(server.httpUrl);
  const COUNT = 2 * MAX_LINKS;
  // In one turn of the loop, so that one flush sends them.
  await Promise.all(Array.from({ length: COUNT }, (_, n) => server.publish('a', n)));
  await received(COUNT);
  peer.say({ type: 'publish', room: 'a', data: 'last' });
  await received(COUNT + 1);
  const [together, last] = called('deliver');
  const publishes = called('publish');
  expect(publishes).toHaveLength(COUNT + 1);
  expect(publishes.map(parentOf).every((parent) => parent === undefined)).toBe(true);
  expect(together?.attributes['messaging.batch.message_count']).toBe(COUNT);
  expect(together?.links.map(({ context }) => context.spanId)).toEqual(
    publishes.slice(0, MAX_LINKS).map(idOf),
  );
  expect(last?.links.map(({ context }) => context.spanId)).toEqual([idOf(publishes.at(-1))]);
});

test('a publish over HTTP continues the trace of its request, or is not sampled if the request is not', async () => {
  const server = await start();
  const { received } = await member(server.httpUrl);
  await post(server.httpUrl, '00');
  await received(1);
  expect(exporter.getFinishedSpans()).toEqual([]);
  await post(server.httpUrl, '01');
  await received(2);
  const [publish, deliver] = [called('publish')[0], called('deliver')[0]];
  expect(parentOf(publish)).toBe(PARENT);
  expect(publish?.spanContext().traceId).toBe(TRACE);
  expect(deliver?.spanContext().traceId).toBe(TRACE);
});

test.each([
  [
    'synchronously',
    (refusal: Refusal): never => {
      throw refusal;
    },
  ],
  [
    'later',
    async (refusal: Refusal): Promise<never> => {
      throw refusal;
    },
  ],
])('a publish that the broker refuses %s is an error span with its code', async (_, refuse) => {
  const broker = new (class extends DelegateBroker {
    override publish() {
      return refuse(new Refusal('broker_uncertain', 'No answer.'));
    }
  })();
  const server = await start({ broker });
  await expect(server.publish('a', 1)).rejects.toMatchObject({ code: 'broker_uncertain' });
  const [publish] = called('publish');
  expect(publish?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'No answer.' });
  expect(publish?.attributes).toMatchObject({ 'error.type': 'broker_uncertain' });
});

test.each(['onStart', 'onEnd'] as const)(
  'a tracer that fails in %s stops no message',
  async (when) => {
    const logged: string[] = [];
    const note = (_: object, text: string) => void logged.push(text);
    const server = await start({ log: { info() {}, warn: note, error: note } });
    const { received } = await member(server.httpUrl);
    failing = when;
    expect(await server.publish('a', 1)).toMatchObject({ seq: 1 });
    await received(1);
    expect(logged).toContain('a callback failed');
  },
);

test('without the option nothing is recorded', async () => {
  const server = await start({ tracing: false });
  const { received } = await member(server.httpUrl);
  await post(server.httpUrl, '01');
  await received(1);
  expect(exporter.getFinishedSpans()).toEqual([]);
});

test('if the API is not installed, the option is rejected with advice', async () => {
  const missing = Object.assign(new Error(), { code: 'MODULE_NOT_FOUND' });
  vi.doMock('node:module', () => ({
    createRequire: () => () => {
      throw missing;
    },
  }));
  vi.resetModules();
  onTestFinished(() => {
    vi.doUnmock('node:module');
    vi.resetModules();
  });
  const { openTracing } = await import('../src/tracing.js');
  expect(openTracing).toThrow(
    'tracing true is not allowed: @opentelemetry/api is not installed; give false, or run: npm install @opentelemetry/api',
  );
});
