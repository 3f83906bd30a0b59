/**
 * The targets by name: turns a URL and options into a `Target`, joining a dialect to a wire.
 * Adding a target means a file beside this one and an entry here.
 */
import { badOption } from '../error.js';
import type { Stamps } from '../stamp.js';
import { openSockjs, SOCKJS_TRANSPORTS } from '../wire/sockjs.js';
import { WebSocketWire } from '../wire/websocket.js';
import type { Endpoint, Wire, WireEvents } from '../wire/wire.js';
import { NatsLink } from './nats.js';
import { RoomcastLink } from './roomcast.js';
import { SOCKETIO_EVENTS, SocketioLink } from './socketio.js';
import type { DialOptions, Link, Sink, Target } from './target.js';
import { TemplateLink, type Templates } from './template.js';

export const TARGETS = ['roomcast', 'ws', 'echo', 'socketio', 'nats'] as const;
export type TargetName = (typeof TARGETS)[number];

export const TRANSPORTS = ['websocket', ...SOCKJS_TRANSPORTS] as const;
export type TransportName = (typeof TRANSPORTS)[number];

/** What to connect to; plain data, as it travels to workers and into reports. */
export interface TargetSpec {
  readonly name: TargetName;
  /** `ws:`, `wss:`, `http:` or `https:`. Without a path, the target's usual one. */
  readonly url: string;
  readonly transport: TransportName;
  readonly headers: Readonly<Record<string, string>>;
  /** Override the target's own; for `ws` and `socketio`. */
  readonly templates: Partial<Templates>;
}

const DEFAULT_PATH: Record<TargetName, string> = {
  roomcast: '/ws',
  ws: '/',
  echo: '/',
  socketio: '/socket.io/?EIO=4&transport=websocket',
  nats: '/',
};

type OpenLink = (sink: Sink, stamps: Stamps, spec: TargetSpec, endpoint: Endpoint) => Link;

const websocket =
  (endpoint: Endpoint, kind: 'text' | 'binary' = 'text') =>
  (events: WireEvents): Wire =>
    new WebSocketWire(endpoint, events, kind);

const template: OpenLink = (sink, stamps, spec, endpoint) =>
  new TemplateLink(sink, stamps, websocket(endpoint), { publish: '{data}', ...spec.templates });

const OPEN: Record<TargetName, OpenLink> = {
  roomcast: (sink, stamps, { transport }, endpoint) =>
    new RoomcastLink(
      sink,
      stamps,
      transport === 'websocket'
        ? websocket(endpoint)
        : (events) => openSockjs(endpoint, events, transport),
    ),
  ws: template,
  echo: template,
  socketio: (sink, stamps, spec, endpoint) =>
    new SocketioLink(sink, stamps, websocket(endpoint), { ...SOCKETIO_EVENTS, ...spec.templates }),
  nats: (sink, stamps, _spec, endpoint) =>
    new NatsLink(sink, stamps, websocket(endpoint, 'binary')),
};

/** @throws LoadError `bad_option` for a URL or a combination that cannot work */
export function createTarget(spec: TargetSpec, stamps: Stamps): Target {
  const url = URL.canParse(spec.url) ? new URL(spec.url) : undefined;
  if (!url || !/^(ws|http)s?:$/.test(url.protocol)) {
    throw badOption('<url>', spec.url, 'a ws:, wss:, http: or https: URL');
  }
  if (spec.name !== 'roomcast' && spec.transport !== 'websocket') {
    throw badOption('--transport', spec.transport, `websocket with --target ${spec.name}`);
  }
  const tls = url.protocol === 'wss:' || url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port) || (tls ? 443 : 80);
  const path = pathOf(spec, url);
  return {
    name: spec.name,
    numbered: spec.name === 'roomcast',
    address: { host, port },
    ...(spec.name === 'roomcast'
      ? { metricsUrl: `${tls ? 'https' : 'http'}://${url.host}/metrics` }
      : {}),
    dial(sink: Sink, { via, readSize }: DialOptions): Link {
      const { headers } = spec;
      const endpoint = { host, port, tls, path, headers, readSize, ...(via ? { via } : {}) };
      return OPEN[spec.name](sink, stamps, spec, endpoint);
    },
  };
}

function pathOf(spec: TargetSpec, url: URL): string {
  if (url.pathname !== '/' || url.search !== '') return url.pathname + url.search;
  return spec.transport === 'websocket' ? DEFAULT_PATH[spec.name] : '/sockjs';
}
