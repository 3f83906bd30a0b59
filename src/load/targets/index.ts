/**
 * The targets: builds a `Target` from a URL and options, combining a protocol with a transport. The
 * protocol is built in (selected by name) or loaded from a file. To add a built-in one, add a file beside
 * this one and an entry here.
 */
import { badOption, type LoadError } from '../error.js';
import type { Protocol } from '../protocol.js';
import type { Stamps } from '../stamp.js';
import { openSockjs, SOCKJS_TRANSPORTS } from '../wire/sockjs.js';
import { WebSocketWire } from '../wire/websocket.js';
import type { WireEvents } from '../wire/wire.js';
import { ProtocolLink } from './link.js';
import { NATS } from './nats.js';
import { loadProtocol, type ProtocolFile } from './protocol-file.js';
import { ROOMCAST } from './roomcast.js';
import { SOCKETIO_EVENTS, socketioProtocol } from './socketio.js';
import type { DialOptions, Link, Sink, Target } from './target.js';
import { type Templates, templateProtocol } from './template.js';

export const TARGETS = ['roomcast', 'ws', 'echo', 'socketio', 'nats'] as const;
export type TargetName = (typeof TARGETS)[number];

export const TRANSPORTS = ['websocket', ...SOCKJS_TRANSPORTS] as const;
export type TransportName = (typeof TRANSPORTS)[number];

/** What to connect to. Plain data that is sent to workers and written into reports. */
export interface TargetSpec {
  /** One of `TARGETS`, or the name of the protocol in `protocol`. */
  readonly name: string;
  /** A protocol file that replaces a built-in protocol. */
  readonly protocol?: ProtocolFile;
  /** `ws:`, `wss:`, `http:` or `https:`. Without a path, the target's default path. */
  readonly url: string;
  readonly transport: TransportName;
  readonly headers: Readonly<Record<string, string>>;
  /** Override the target's default commands; for `ws`, `echo` and `socketio`. */
  readonly templates: Partial<Templates>;
}

const BUILT_IN: Record<TargetName, (templates: Partial<Templates>) => Protocol<unknown>> = {
  roomcast: () => ROOMCAST,
  ws: (templates) => templateProtocol('ws', { publish: '{data}', ...templates }),
  echo: (templates) => templateProtocol('echo', { publish: '{data}', ...templates }),
  socketio: (templates) => socketioProtocol({ ...SOCKETIO_EVENTS, ...templates }),
  nats: () => NATS,
};

/** Targets whose commands are given by templates. */
const TEMPLATED: ReadonlySet<string> = new Set(['ws', 'echo', 'socketio']);

/** @throws LoadError `bad_option` for a template of another target, or one without the message */
function checkTemplates({ name, protocol, templates }: TargetSpec): void {
  const { publish } = templates;
  for (const [key, text] of Object.entries(templates)) {
    if (protocol || !TEMPLATED.has(name)) {
      throw badOption(`--${key}`, text, `it only with ${[...TEMPLATED].join(', ')}`);
    }
  }
  if (publish !== undefined && !publish.includes('{data}')) {
    throw badOption('--publish', publish, 'a text that contains {data}, the message');
  }
}

/**
 * @param onFault called when a protocol file breaks the contract (`bad_protocol`), which ends the test
 * @throws LoadError `bad_option` for a URL or a combination that cannot work, `bad_protocol`
 */
export async function openTarget(
  spec: TargetSpec,
  stamps: Stamps,
  onFault: (fault: LoadError) => void,
): Promise<Target> {
  checkTemplates(spec);
  const protocol = spec.protocol
    ? await loadProtocol(spec.protocol)
    : BUILT_IN[spec.name as TargetName](spec.templates);
  const { host, port, authority, tls, path } = addressOf(spec, protocol);
  return {
    name: spec.name,
    numbered: protocol.numbered ?? false,
    positions: protocol.positions ?? false,
    backfills: protocol.numbered === true && protocol.backfill !== undefined,
    address: { host, port },
    ...(protocol === ROOMCAST
      ? { metricsUrl: `${tls ? 'https' : 'http'}://${authority}/metrics` }
      : {}),
    dial(sink: Sink, { via, readSize }: DialOptions): Link {
      const endpoint = {
        host,
        port,
        tls,
        path,
        headers: spec.headers,
        readSize,
        ...(via ? { via } : {}),
        ...(protocol.subprotocol === undefined ? {} : { subprotocol: protocol.subprotocol }),
      };
      const open = (events: WireEvents) =>
        spec.transport === 'websocket'
          ? new WebSocketWire(endpoint, events, protocol.frames)
          : openSockjs(endpoint, events, spec.transport);
      return new ProtocolLink(protocol, sink, stamps, open, onFault);
    },
  };
}

interface Where {
  readonly host: string;
  readonly port: number;
  readonly authority: string;
  readonly tls: boolean;
  readonly path: string;
}

function addressOf(spec: TargetSpec, protocol: Protocol<unknown>): Where {
  const url = URL.canParse(spec.url) ? new URL(spec.url) : undefined;
  if (!url || !/^(ws|http)s?:$/.test(url.protocol)) {
    throw badOption('<url>', spec.url, 'a ws:, wss:, http: or https: URL');
  }
  // Reports contain the URL, but of headers only the names.
  if (url.username !== '' || url.password !== '') {
    const expected = 'no user or password in it, but --header "Authorization: …"';
    throw badOption('<url>', '(not shown)', expected);
  }
  if (spec.transport !== 'websocket' && protocol !== ROOMCAST) {
    throw badOption('--transport', spec.transport, `websocket with ${spec.name}`);
  }
  const tls = url.protocol === 'wss:' || url.protocol === 'https:';
  const usual = spec.transport === 'websocket' ? (protocol.path ?? '/') : '/sockjs';
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port) || (tls ? 443 : 80),
    authority: url.host,
    tls,
    path: url.pathname !== '/' || url.search !== '' ? url.pathname + url.search : usual,
  };
}
