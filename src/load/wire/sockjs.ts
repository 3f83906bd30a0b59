/**
 * SockJS client transports: SockJS framing (`o`, `h`, `a[…]`, `c[…]`) over a WebSocket, a streamed response
 * (xhr-streaming, eventsource) or successive polls. Over HTTP, not reading means not reading the
 * response and not polling again. Payloads arrive as JSON strings in JSON arrays and are decoded with
 * `JSON.parse`: slower than a plain WebSocket, as for every SockJS client.
 */
import { randomBytes } from 'node:crypto';
import { type ClientRequest, Agent as HttpAgent, type IncomingMessage, request } from 'node:http';
import { Agent as HttpsAgent, request as requestTls } from 'node:https';
import { machineMicros } from '../clock.js';
import { expecting, resetSocket } from './socket.js';
import { WebSocketWire } from './websocket.js';
import { type Endpoint, PAYLOAD_MAX, type Wire, type WireEvents } from './wire.js';

export const SOCKJS_TRANSPORTS = [
  'sockjs-websocket',
  'xhr-streaming',
  'eventsource',
  'xhr-polling',
] as const;
export type SockjsTransport = (typeof SOCKJS_TRANSPORTS)[number];

const URL_NAME: Record<SockjsTransport, string> = {
  'sockjs-websocket': 'websocket',
  'xhr-streaming': 'xhr_streaming',
  eventsource: 'eventsource',
  'xhr-polling': 'xhr',
};

/** Opens a session under `endpoint.path`, the server's SockJS prefix. */
export function openSockjs(
  endpoint: Endpoint,
  events: WireEvents,
  transport: SockjsTransport,
): Wire {
  const server = String(randomBytes(2).readUInt16BE() % 1000).padStart(3, '0');
  const session = `${endpoint.path}/${server}/${randomBytes(6).toString('hex')}`;
  return transport === 'sockjs-websocket'
    ? new SockjsWebSocketWire({ ...endpoint, path: `${session}/websocket` }, events)
    : new SockjsHttpWire({ ...endpoint, path: session }, events, transport);
}

/** Parses SockJS frames into the events of a `Wire`. */
class Frames {
  closedWith = '';
  readonly #events: WireEvents;
  #scratch = Buffer.allocUnsafe(4096);

  constructor(events: WireEvents) {
    this.#events = events;
  }

  /** An invalid frame sets `closedWith`, and the owner then closes. */
  read(frame: string): void {
    if (frame.startsWith('o')) this.#events.open();
    if (!frame.startsWith('a') && !frame.startsWith('c')) return;
    const values = valuesOf(frame.slice(1));
    if (values === undefined) {
      this.closedWith ||= `sent a frame that is not SockJS: ${JSON.stringify(frame.slice(0, 60))}`;
    } else if (frame.startsWith('c')) this.closedWith ||= values.join(' ');
    else for (const text of values) this.#payload(String(text));
  }

  #payload(text: string): void {
    if (text.length * 3 > this.#scratch.length) {
      this.#scratch = Buffer.allocUnsafe(text.length * 3);
    }
    this.#events.payload(this.#scratch, 0, this.#scratch.write(text));
  }
}

function valuesOf(json: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return;
  }
}

/** The WebSocket transport: SockJS framing inside a WebSocket. */
class SockjsWebSocketWire implements Wire {
  readonly #wire: WebSocketWire;

  constructor(endpoint: Endpoint, events: WireEvents) {
    const frames = new Frames(events);
    this.#wire = new WebSocketWire(endpoint, {
      chunk: (bytes, now) => events.chunk(bytes, now),
      open: () => {},
      payload: (buf, start, end) => {
        frames.read(buf.toString('utf8', start, end));
        if (frames.closedWith) this.#wire.close();
      },
      closed: (reason) => events.closed(frames.closedWith || reason),
    });
  }

  get backlog(): number {
    return this.#wire.backlog;
  }

  send(payload: Uint8Array): void {
    this.#wire.send(Buffer.from(JSON.stringify([Buffer.from(payload).toString()])));
  }

  pause(): void {
    this.#wire.pause();
  }

  resume(): void {
    this.#wire.resume();
  }

  probe(): void {
    this.#wire.probe();
  }

  close(): void {
    this.#wire.close();
  }

  reset(): void {
    this.#wire.reset();
  }
}

/** The HTTP transports: one request receives, another one sends. */
class SockjsHttpWire implements Wire {
  readonly #endpoint: Endpoint;
  readonly #events: WireEvents;
  readonly #transport: SockjsTransport;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #frames: Frames;
  #receiver: ClientRequest | undefined;
  #response: IncomingMessage | undefined;
  /** The incomplete line received so far. */
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #sending = false;
  #unsent: string[] = [];
  #unsentBytes = 0;
  #paused = false;
  #closed = false;

  constructor(endpoint: Endpoint, events: WireEvents, transport: SockjsTransport) {
    this.#endpoint = endpoint;
    this.#events = events;
    this.#transport = transport;
    this.#frames = new Frames(events);
    this.#agent = new (endpoint.tls ? HttpsAgent : HttpAgent)({ keepAlive: true });
    this.#receive();
  }

  get backlog(): number {
    return this.#unsentBytes;
  }

  send(payload: Uint8Array): void {
    this.#unsent.push(Buffer.from(payload).toString());
    this.#unsentBytes += payload.length;
    this.#flush();
  }

  pause(): void {
    this.#paused = true;
    this.#response?.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#response) this.#response.resume();
    else if (!this.#receiver) this.#receive();
  }

  probe(): void {
    this.#receiver?.socket?.write('');
  }

  /** SockJS over HTTP has no close message for clients: the client stops receiving. */
  close(): void {
    this.#end('end');
  }

  reset(): void {
    const socket = this.#receiver?.socket;
    if (socket) resetSocket(socket);
    this.#end('end');
  }

  #receive(): void {
    if (this.#closed || this.#paused) return;
    const name = URL_NAME[this.#transport];
    const method = this.#transport === 'eventsource' ? 'GET' : 'POST';
    this.#receiver = this.#request(method, name, (response) => {
      if (response.statusCode !== 200) return this.#end(`HTTP ${response.statusCode}`);
      this.#response = response;
      response
        .on('data', (data: Buffer) => this.#data(data))
        .on('close', () => {
          this.#receiver = undefined;
          this.#response = undefined;
          if (response.complete) this.#receive();
          else this.#end('ECONNRESET');
        });
      if (this.#paused) response.pause();
    });
    this.#receiver.end();
  }

  #data(data: Buffer): void {
    this.#events.chunk(data.length, machineMicros());
    if (!data.includes(0x0a)) {
      this.#keep(data);
      return;
    }
    const bytes = this.#partialBytes === 0 ? data : Buffer.concat([...this.#partial, data]);
    this.#partial = [];
    this.#partialBytes = 0;
    let at = 0;
    for (;;) {
      const newline = bytes.indexOf(0x0a, at);
      if (newline < 0) break;
      const line = bytes.toString('utf8', at, newline).trimEnd();
      this.#frames.read(line.startsWith('data: ') ? line.slice(6) : line);
      at = newline + 1;
    }
    if (at < bytes.length) this.#keep(bytes.subarray(at));
    if (this.#frames.closedWith) this.#end(this.#frames.closedWith);
  }

  #keep(part: Buffer): void {
    this.#partial.push(part);
    this.#partialBytes += part.length;
    if (this.#partialBytes > PAYLOAD_MAX) this.#end('line longer than 64 MiB');
  }

  #flush(): void {
    if (this.#sending || this.#closed || this.#unsent.length === 0) return;
    this.#sending = true;
    const body = JSON.stringify(this.#unsent);
    this.#unsent = [];
    this.#unsentBytes = 0;
    const sender = this.#request('POST', 'xhr_send', (response) => {
      response.resume();
      if (response.statusCode !== 204) return this.#end(`HTTP ${response.statusCode}`);
      response.on('end', () => {
        this.#sending = false;
        this.#flush();
      });
    });
    sender.setHeader('Content-Type', 'text/plain');
    sender.end(body);
  }

  #request(
    method: string,
    name: string,
    respond: (response: IncomingMessage) => void,
  ): ClientRequest {
    const { host, port, path, tls, headers, via } = this.#endpoint;
    return (tls ? requestTls : request)({
      host: via?.host ?? host,
      port: via?.port ?? port,
      ...(tls ? expecting(host) : {}),
      path: `${path}/${name}`,
      method,
      headers: { Host: `${host}:${port}`, ...headers },
      agent: this.#agent,
    })
      .on('response', respond)
      .on('error', (error: NodeJS.ErrnoException) => this.#end(error.code ?? error.message));
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#receiver?.destroy();
    this.#agent.destroy();
    this.#events.closed(reason);
  }
}
