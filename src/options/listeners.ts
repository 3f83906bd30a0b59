/** Options of the listening sockets of a server of our own, besides `host` and `port`. */
import { address, bool, DAY, integer, text } from './schema.js';

const LISTENERS = 'Listeners';

export const listeners = {
  pathPrefix: text(
    '/',
    { pattern: '^(/|(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)$', maxLength: 200 },
    {
      group: LISTENERS,
      unit: 'path',
      description:
        'Path below which everything is served, as it arrives here; a proxy must not strip it.',
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
        'Address that reaches this server only. SockJS clients use it, since a session lives on one server; a load balancer then needs no sticky sessions.',
      allowed: 'an address like https://node1.example.com/sockjs',
      meant: baseUrlOf,
    },
  ),
  internalPort: integer([0, 0, 65_535], {
    group: LISTENERS,
    unit: 'port',
    zero: 'the public port',
    description:
      'Separate port for the HTTP API, metrics and pages; the public port then serves none of them.',
  }),
  internalHost: address('127.0.0.1', {
    group: LISTENERS,
    description: 'Address of the internal port.',
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
        'PEM file of a certificate and its chain; with --tls-key, the public port uses TLS.',
      allowed: 'the path of a PEM file',
    },
  ),
  tlsKey: text(
    '',
    { minLength: 0, maxLength: 4096 },
    {
      group: LISTENERS,
      unit: 'file',
      description: 'PEM file of the key of --tls-cert. Both are reloaded when they change.',
      allowed: 'the path of a PEM file',
    },
  ),
  proxyProtocol: bool(false, {
    group: LISTENERS,
    unit: 'boolean',
    description:
      'Connections from --trust-proxy, and all on a unix socket, must begin with a PROXY protocol header, version 1 or 2.',
  }),
  keepAliveMs: integer([75_000, 1000, DAY], {
    group: LISTENERS,
    unit: 'ms',
    description:
      'Time a connection may be idle between two requests; set it longer than that of a load balancer in front.',
  }),
  requestMs: integer([300_000, 1000, DAY], {
    group: LISTENERS,
    unit: 'ms',
    description: 'Time within which a request must arrive completely.',
  }),
};

/** A client appends `/SERVER/SESSION/…` to it. */
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
