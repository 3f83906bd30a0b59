/** Options of the server: address, trusted proxies and origins, API keys, observability. */
import { isNetwork, networkOf } from './networks.js';
import { isOrigin, originOf } from './origins.js';
import { address, bool, choice, integer, list, secret } from './schema.js';

const SERVER = 'Server';

export const server = {
  host: address('127.0.0.1', {
    group: SERVER,
    description: 'Address to listen on; 0.0.0.0 or :: for every interface.',
  }),
  port: integer([8080, 0, 65_535], {
    group: SERVER,
    unit: 'port',
    zero: 'any free port',
    description: 'Port to listen on.',
  }),
  trustProxy: list(
    { is: isNetwork },
    {
      group: SERVER,
      unit: 'networks',
      description: 'Proxies whose X-Forwarded-For or Forwarded header is trusted.',
      allowed: 'addresses or CIDRs, like 10.0.0.0/8',
      meant: networkOf,
    },
  ),
  origin: list(
    { is: isOrigin },
    {
      group: SERVER,
      unit: 'origins',
      description: 'Origins that may connect; a request without Origin always may. Empty: any.',
      allowed: 'origins, like https://app.example.com, or null',
      meant: originOf,
    },
  ),
  apiKey: secret(
    list(
      { pattern: '^[!-+.-~-]{1,256}$' },
      {
        group: SERVER,
        unit: 'keys',
        description: 'Keys for /v1; without one it answers this machine only.',
        allowed: 'keys of 1 to 256 visible ASCII characters without a comma',
      },
    ),
  ),
  metrics: bool(true, {
    group: SERVER,
    unit: 'boolean',
    description: 'Serve /metrics.',
  }),
  tracing: bool(false, {
    group: SERVER,
    unit: 'boolean',
    description: 'Trace publish and deliver with the OpenTelemetry SDK of the process.',
  }),
  lockDetector: choice('watch', ['off', 'watch', 'strict'], {
    group: SERVER,
    unit: 'mode',
    description:
      'Lock detector: watch logs deadlocks and long holds, strict also breaks deadlocks.',
  }),
};
