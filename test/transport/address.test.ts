import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaults, trustedProxies } from '../../src/options/config.js';
import { addressOf, canonical, networkOf } from '../../src/transport/address.js';
import { bytesInUse } from '../support/heap.js';

const trusted = trustedProxies({ ...defaults, trustProxy: ['10.0.0.0/8', '127.0.0.1', '::1'] });

/** Several lines of a header, as Node joins them. */
const request = (remoteAddress: string, list?: string, forwarded?: string) =>
  ({
    socket: { remoteAddress },
    headers: { 'x-forwarded-for': list, forwarded },
  }) as unknown as IncomingMessage;

describe('X-Forwarded-For', () => {
  test.each([
    [
      'an untrusted peer is used itself, whatever it sends',
      '203.0.113.9',
      '1.2.3.4',
      '203.0.113.9',
    ],
    ['a trusted proxy is believed', '127.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['as far as each hop is trusted', '127.0.0.1', '6.6.6.6, 203.0.113.9, 10.1.2.3', '203.0.113.9'],
    ['a proxy that says nothing is the peer', '127.0.0.1', undefined, '127.0.0.1'],
    ['nonsense ends the walk', '127.0.0.1', '203.0.113.9, nonsense', '127.0.0.1'],
    ['IPv4 in IPv6 is IPv4', '::ffff:127.0.0.1', '::ffff:203.0.113.9', '203.0.113.9'],
    ['also in hexadecimal', '::1', '::FFFF:cb00:7109', '203.0.113.9'],
    ['IPv6', '::1', '2001:db8::7', '2001:db8::7'],
    ['IPv6 has one form', '::1', '2001:DB8:0:0:0::7', '2001:db8::7'],
    ['a port', '127.0.0.1', '203.0.113.9:4711', '203.0.113.9'],
    ['brackets', '127.0.0.1', '[2001:db8::7]', '2001:db8::7'],
    ['brackets and a port', '127.0.0.1', '[2001:db8::7]:4711', '2001:db8::7'],
    ['a zone is of the machine that wrote it', '127.0.0.1', 'fe80::1%eth0', 'fe80::1'],
    ['unknown', '127.0.0.1', '203.0.113.9, unknown', '127.0.0.1'],
    ['empty', '127.0.0.1', '', '127.0.0.1'],
    ['an empty hop', '127.0.0.1', '203.0.113.9, ,', '127.0.0.1'],
    ['a quote left open by the peer', '127.0.0.1', '"6.6.6.6, 203.0.113.9', '203.0.113.9'],
  ])('%s', (_, peer, list, address) => {
    expect(addressOf(request(peer, list), trusted)).toBe(address);
  });
});

describe('Forwarded', () => {
  test.each([
    ['one hop', 'for=203.0.113.9', '203.0.113.9'],
    ['any case, more parameters', 'proto=https;For="203.0.113.9:47";by=10.0.0.1', '203.0.113.9'],
    ['IPv6 is quoted', 'for="[2001:db8::7]:4711"', '2001:db8::7'],
    ['several hops', 'for=6.6.6.6, for=203.0.113.9, for=10.1.2.3', '203.0.113.9'],
    ['separators in quotes', 'for=203.0.113.9;host="a,b;for=6.6.6.6"', '203.0.113.9'],
    ['a name of its own', 'for=203.0.113.9, for=_hidden', '127.0.0.1'],
    ['unknown', 'for=unknown', '127.0.0.1'],
    ['no for', 'by=203.0.113.9', '127.0.0.1'],
    ['a quote left open by the peer', 'for="6.6.6.6, for=203.0.113.9', '203.0.113.9'],
  ])('%s', (_, forwarded, address) => {
    expect(addressOf(request('127.0.0.1', undefined, forwarded), trusted)).toBe(address);
  });

  test('besides X-Forwarded-For is used if both agree', () => {
    const both = (list: string, forwarded: string) =>
      addressOf(request('127.0.0.1', list, forwarded), trusted);
    expect(both('203.0.113.9', 'for=203.0.113.9')).toBe('203.0.113.9');
    expect(both('203.0.113.9', 'for=127.0.0.1')).toBe('127.0.0.1');
    expect(both('6.6.6.6', 'for=203.0.113.9')).toBe('127.0.0.1');
  });
});

describe('whatever a peer sends', () => {
  const hostile = fc.string({
    unit: fc.constantFrom(...'"\\,;=[]:.%for12unkw_ \t'.split('')),
    maxLength: 200,
  });
  const ipv4 = fc.ipV4().filter((address) => !/^(10|127)\./.test(address));

  test('the result is an address in normal form', () => {
    fc.assert(
      fc.property(fc.option(hostile), fc.option(hostile), (list, forwarded) => {
        const address = addressOf(
          request('127.0.0.1', list ?? undefined, forwarded ?? undefined),
          trusted,
        );
        expect(isIP(address)).not.toBe(0);
        expect(canonical(address)).toBe(address);
      }),
    );
  });

  test('the entry appended by the trusted proxy is used', () => {
    fc.assert(
      fc.property(hostile, ipv4, (sent, peer) => {
        expect(addressOf(request('127.0.0.1', `${sent}, ${peer}`), trusted)).toBe(peer);
        const forwarded = `${sent}, for=${peer}`;
        expect(addressOf(request('127.0.0.1', undefined, forwarded), trusted)).toBe(peer);
      }),
    );
  });

  test('at most MAX_HOPS hops are followed', () => {
    const list = Array.from({ length: 5000 }, () => '127.0.0.1').join(',');
    expect(addressOf(request('::1', `203.0.113.9,${list}`), trusted)).toBe('127.0.0.1');
  });

  test('an address does not keep the header it was in (V3)', async () => {
    const addresses: string[] = [];
    const before = await bytesInUse();
    for (let n = 0; n < 1000; n += 1) {
      const header = Buffer.from(`${'6.6.6.6,'.repeat(1500)}203.0.113.${100 + (n % 100)}`);
      addresses.push(addressOf(request('::1', header.toString('latin1')), trusted));
    }
    // Of the 12 MB of all headers.
    expect((await bytesInUse()) - before).toBeLessThan(5_000_000);
    expect(addresses[0]).toBe('203.0.113.100');
  });
});

test.each([
  ['203.0.113.9', '203.0.113.9'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8::7', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['', ''],
])('%s is counted as %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
