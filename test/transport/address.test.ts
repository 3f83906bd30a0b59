import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { defaults, trustedProxies } from '../../src/config.js';
import { addressOf } from '../../src/transport/address.js';

const trusted = trustedProxies({ ...defaults, trustProxy: ['10.0.0.0/8', '127.0.0.1', '::1'] });

const request = (remoteAddress: string, forwarded?: string) =>
  ({
    socket: { remoteAddress },
    headers: { 'x-forwarded-for': forwarded },
  }) as unknown as IncomingMessage;

test.each([
  ['a peer that is no proxy is itself, whatever it says', '203.0.113.9', '1.2.3.4', '203.0.113.9'],
  ['a trusted proxy is believed', '127.0.0.1', '203.0.113.9', '203.0.113.9'],
  ['as far as each hop is trusted', '127.0.0.1', '6.6.6.6, 203.0.113.9, 10.1.2.3', '203.0.113.9'],
  ['a proxy that says nothing is the peer', '127.0.0.1', undefined, '127.0.0.1'],
  ['nonsense ends the walk', '127.0.0.1', '203.0.113.9, nonsense', '127.0.0.1'],
  [
    'an IPv4 address in IPv6 is one of IPv4',
    '::ffff:127.0.0.1',
    '::ffff:203.0.113.9',
    '203.0.113.9',
  ],
  ['IPv6', '::1', '2001:db8::7', '2001:db8::7'],
])('%s', (_, peer, forwarded, address) => {
  expect(addressOf(request(peer, forwarded), trusted)).toBe(address);
});
