/** Options of where a server of our own listens, beside `host` and `port`, and how it is reached. */
import { address, bool, DAY, integer, text } from './schema.js';

const LISTENERS = 'Listeners';

export const listeners = {
  pathPrefix: text(
    '/',
    { pattern: '^(/|(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)$', maxLength: 200 },
    {
      group: LISTENERS,
      unit: 'path',
      description: 'Path below which everything is, as it arrives here; a proxy must not strip it.',
      allowed: 'a path like /realtime, without a slash at its end',
      meant: (path) => (path.endsWith('/') && path.length > 1 ? path.replace(/\/+$/, '') : null),
    },
  ),
  sockjsBaseUrl: text(
    '',
    { minLength: 0, maxLength: 2048, is: (url) => url === '' || isBaseUrl(url) },
    {
      group: LISTENERS,
      unit: 'address',
      description:
        'Where this server alone is reached, told to clients of SockJS, whose sessions live on one server: no balancer has to know of them then.',
      allowed: 'an address like https://node1.example.com/sockjs',
      meant: baseUrlOf,
    },
  ),
  internalPort: integer([0, 0, 65_535], {
    group: LISTENERS,
    unit: 'port',
    zero: 'the public port',
    description:
      'Port of its own for the HTTP API, metrics and pages. Then the public one has none of them.',
  }),
  internalHost: address('127.0.0.1', {
    group: LISTENERS,
    description: 'Address of that port.',
  }),
  unixSocket: text(
    '',
    { pattern: '^(/.+)?$', minLength: 0, maxLength: 100 },
    {
      group: LISTENERS,
      unit: 'path',
      description: 'Path of a unix socket to listen on, instead of the public host and port.',
      allowed: 'an absolute path of at most 100 characters',
    },
  ),
  tlsCert: text(
    '',
    { minLength: 0, maxLength: 4096 },
    {
      group: LISTENERS,
      unit: 'file',
      description:
        'PEM file of a certificate and its chain; with its key, the public port speaks TLS.',
      allowed: 'the path of a PEM file',
    },
  ),
  tlsKey: text(
    '',
    { minLength: 0, maxLength: 4096 },
    {
      group: LISTENERS,
      unit: 'file',
      description: 'PEM file of its key. Both are read again when they change.',
      allowed: 'the path of a PEM file',
    },
  ),
  proxyProtocol: bool(false, {
    group: LISTENERS,
    unit: 'boolean',
    description:
      'Connections of --trust-proxy, and all of a unix socket, begin with a PROXY protocol header, version 1 or 2.',
  }),
  keepAliveMs: integer([75_000, 1000, DAY], {
    group: LISTENERS,
    unit: 'ms',
    description:
      'Time a connection may be idle between two requests; longer than that of a balancer in front.',
  }),
  requestMs: integer([300_000, 1000, DAY], {
    group: LISTENERS,
    unit: 'ms',
    description: 'Time a request may take to arrive whole.',
  }),
};

/** A client puts `/SERVER/SESSION/…` behind it. */
function isBaseUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, username, search, hash, pathname, href } = new URL(url);
  return (
    /^https?:$/.test(protocol) &&
    `${username}${search}${hash}` === '' &&
    href === url &&
    pathname.endsWith('/sockjs')
  );
}

function baseUrlOf(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { protocol, host, pathname } = new URL(text);
  const path = pathname.replace(/\/+$/, '');
  const url = `${protocol.replace(/^ws/, 'http')}//${host}${path.endsWith('/sockjs') ? path : `${path}/sockjs`}`;
  return isBaseUrl(url) ? url : null;
}
