/** Options of where a server of our own listens, beside `host` and `port`, and how it is reached. */
import { address, DAY, integer, text } from './schema.js';

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
