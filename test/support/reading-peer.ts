/**
 * A peer over a real connection that reads only when told to, on every transport. It decodes what it
 * has read; while stalled it neither reads nor polls, like a frozen tab.
 */
import { randomBytes } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import type { TransportName } from '../../src/transport/transport.js';
import type { Received } from './fake-transport.js';
import { Signal } from './signal.js';

export interface ReadingPeer {
  readonly name: TransportName;
  readonly events: readonly Received[];
  /** Member id, once welcomed. */
  readonly id: string;
  say(command: object): void;
  stall(): void;
  resume(): void;
  /** Resolves when the condition holds; rejects when the connection ends before. */
  until(condition: () => boolean): Promise<void>;
  /** Resolves with the code of the close, 1006 without one. */
  readonly closed: Promise<number>;
}

/** Carries the frames of one transport. */
interface Wire {
  send(text: string): void;
  stall(): void;
  resume(): void;
  destroy(): void;
}

interface Reader {
  texts(texts: readonly string[]): void;
  closed(code: number): void;
}

const CLOSED_WITHOUT_A_WORD = 1006;

/** How it connects. */
export interface Via {
  /** Local address to connect from. */
  readonly localAddress?: string;
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Connects and waits for the welcome; closed after the test. */
export async function connectReading(
  name: TransportName,
  url: string,
  via: Via = {},
): Promise<ReadingPeer> {
  const events: Received[] = [];
  const changed = new Signal();
  let code: number | null = null;
  let tellClosed: (code: number) => void = () => {};
  const closed = new Promise<number>((resolve) => {
    tellClosed = resolve;
  });
  const reader: Reader = {
    texts(texts) {
      for (const text of texts) events.push(JSON.parse(text) as Received);
      changed.fire();
    },
    closed(reason) {
      code ??= reason;
      tellClosed(code);
      changed.fire();
    },
  };
  const wire = WIRES[name]({ url, via, reader });
  onTestFinished(() => wire.destroy());
  const peer: ReadingPeer = {
    name,
    events,
    closed,
    get id() {
      const [welcome] = events;
      return welcome?.type === 'welcome' ? welcome.member : '';
    },
    say: (command) => wire.send(JSON.stringify(command)),
    stall: () => wire.stall(),
    resume: () => wire.resume(),
    async until(condition) {
      await changed.until(() => code !== null || condition());
      if (!condition()) throw new Error(`${name} was closed with ${code}`);
    },
  };
  await peer.until(() => events.length > 0);
  return peer;
}

/** Parses SockJS frames. */
function unwrapping(reader: Reader): (frame: string) => void {
  let isOpen = false;
  return (frame) => {
    if (frame.startsWith('a')) reader.texts(JSON.parse(frame.slice(1)) as string[]);
    if (frame.startsWith('c')) reader.closed((JSON.parse(frame.slice(1)) as [number])[0]);
    // A second open frame: the server has forgotten the session and started another in its place.
    if (frame === 'o' && isOpen) reader.closed(CLOSED_WITHOUT_A_WORD);
    isOpen ||= frame === 'o';
  };
}

const session = () => `/sockjs/000/${randomBytes(8).toString('hex')}`;

/** Both ends of a wire. */
interface Ends {
  readonly url: string;
  readonly via: Via;
  readonly reader: Reader;
}

function overWebSocket({ url, via, reader }: Ends, path: string, onText: (text: string) => void) {
  const socket = new WebSocket(url.replace('http', 'ws') + path, via);
  socket.on('message', (data) => onText(data.toString()));
  socket.on('close', (code) => reader.closed(code));
  // A reset is one of the ends it may meet.
  socket.on('error', () => {});
  return {
    send: (text: string) => socket.send(text),
    stall: () => socket.pause(),
    resume: () => socket.resume(),
    destroy: () => socket.terminate(),
  };
}

/** Sends requests one after another and reads each response as it arrives. */
function overHttp(
  { url, via, reader }: Ends,
  method: string,
  action: string,
  onLine: (line: string) => void,
): Wire {
  const { headers = {}, localAddress } = via;
  const agent = new Agent({
    keepAlive: true,
    ...(localAddress === undefined ? {} : { localAddress }),
  });
  const path = session();
  let answer: IncomingMessage | null = null;
  let isStalled = false;
  let isOver = false;
  const over = (code: number) => {
    isOver = true;
    reader.closed(code);
  };
  const ask = () => {
    let rest = '';
    const asked = request(`${url}${path}/${action}`, { method, agent, headers }, (res) => {
      answer = res;
      res.setEncoding('utf8');
      res.on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() as string;
        for (const line of lines) onLine(line);
      });
      res.on('error', () => over(CLOSED_WITHOUT_A_WORD));
      res.on('end', () => {
        answer = null;
        if (res.statusCode !== 200) over(CLOSED_WITHOUT_A_WORD);
        else if (!isStalled && !isOver) ask();
      });
      if (isStalled) res.pause();
    });
    asked.on('error', () => over(CLOSED_WITHOUT_A_WORD));
    asked.end();
  };
  const post = (text: string) =>
    new Promise<void>((resolve) => {
      const sent = request(`${url}${path}/xhr_send`, { method: 'POST', agent, headers }, (res) =>
        res.resume(),
      );
      sent.on('error', () => over(CLOSED_WITHOUT_A_WORD));
      sent.on('close', resolve);
      sent.end(JSON.stringify([text]));
    });
  /** Sends in sequence, as clients do: on two connections a publish could overtake its join. */
  let sending = Promise.resolve();
  ask();
  return {
    send(text) {
      sending = sending.then(() => post(text));
    },
    stall() {
      isStalled = true;
      answer?.pause();
    },
    resume() {
      isStalled = false;
      if (answer === null) ask();
      else answer.resume();
    },
    destroy: () => agent.destroy(),
  };
}

const WIRES: Record<TransportName, (ends: Ends) => Wire> = {
  websocket: (ends) => overWebSocket(ends, '/ws', (text) => ends.reader.texts([text])),
  'sockjs-websocket': (ends) => {
    const wire = overWebSocket(ends, `${session()}/websocket`, unwrapping(ends.reader));
    return { ...wire, send: (text) => wire.send(JSON.stringify([text])) };
  },
  'xhr-streaming': (ends) => overHttp(ends, 'POST', 'xhr_streaming', unwrapping(ends.reader)),
  'xhr-polling': (ends) => overHttp(ends, 'POST', 'xhr', unwrapping(ends.reader)),
  eventsource: (ends) => {
    const unwrap = unwrapping(ends.reader);
    const onLine = (line: string) => {
      if (line.startsWith('data: ')) unwrap(line.slice('data: '.length).trimEnd());
    };
    return overHttp(ends, 'GET', 'eventsource', onLine);
  },
};
