/** PROXY protocol headers, byte by byte, and input that only resembles one. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_HEADER_BYTES, proxyHeaderOf } from '../../src/transport/proxy-header.js';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

function version2(command: number, family: number, body: Buffer): Buffer {
  const head = Buffer.from([0x20 | command, family, 0, 0]);
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([SIGNATURE, head, body]);
}

const tcp4 = Buffer.from([192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb]);
const tcp6 = Buffer.concat([
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  Buffer.from([0xdc, 0x04, 0x01, 0xbb]),
]);

const RIGHT: [string, Buffer, { address: string; port: number } | null][] = [
  [
    'version 1',
    Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n'),
    { address: '192.0.2.1', port: 56324 },
  ],
  [
    'version 1 of IPv6',
    Buffer.from('PROXY TCP6 2001:DB8:0:0::1 2001:db8::2 56324 443\r\n'),
    { address: '2001:db8::1', port: 56324 },
  ],
  ['version 1, unknown', Buffer.from('PROXY UNKNOWN\r\n'), { address: '', port: 0 }],
  [
    'version 1, unknown with more',
    Buffer.from('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n'),
    { address: '', port: 0 },
  ],
  ['version 2', version2(1, 0x11, tcp4), { address: '192.0.2.1', port: 56324 }],
  ['version 2 of IPv6', version2(1, 0x21, tcp6), { address: '2001:db8::1', port: 56324 }],
  [
    'version 2 with more behind the address',
    version2(1, 0x11, Buffer.concat([tcp4, Buffer.from([4, 0, 1, 9])])),
    { address: '192.0.2.1', port: 56324 },
  ],
  ['version 2 of a unix socket', version2(1, 0x31, Buffer.alloc(216)), { address: '', port: 0 }],
  ['version 2 of the proxy itself', version2(0, 0, Buffer.alloc(0)), null],
];

describe('a header', () => {
  it.each(RIGHT)(
    'of %s is parsed, wherever it is split, and the data after it is not',
    (_, bytes, peer) => {
      const all = Buffer.concat([bytes, Buffer.from('GET / HTTP/1.1\r\n')]);
      for (let n = 0; n < bytes.length; n += 1)
        expect([n, proxyHeaderOf(all.subarray(0, n))]).toEqual([n, 'more']);
      for (let n = bytes.length; n <= all.length; n += 1) {
        expect(proxyHeaderOf(all.subarray(0, n))).toEqual({ length: bytes.length, peer });
      }
    },
  );

  it.each<[string, Buffer]>([
    ['a request', Buffer.from('GET / HTTP/1.1\r\n')],
    ['another family', Buffer.from('PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n')],
    ['an address of the other family', Buffer.from('PROXY TCP4 2001:db8::1 198.51.100.1 1 2\r\n')],
    ['no address', Buffer.from('PROXY TCP4 192.0.2.999 198.51.100.1 1 2\r\n')],
    ['a port too large', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n')],
    ['a port with a zero before it', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n')],
    ['a field too few', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n')],
    ['a field too many', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n')],
    ['no end within 107 bytes', Buffer.from(`PROXY TCP4 ${'1'.repeat(107)}`)],
    ['another version', Buffer.concat([SIGNATURE, Buffer.from([0x31, 0x11, 0, 0])])],
    ['another command', version2(2, 0x11, tcp4)],
    ['an address cut short', version2(1, 0x11, tcp4.subarray(0, 8))],
    ['more than a header may have', version2(1, 0x11, Buffer.alloc(MAX_HEADER_BYTES))],
  ])('is none in %s', (_, bytes) => {
    expect(proxyHeaderOf(bytes)).toBe('none');
  });

  it('is never longer than the input, and never throws', () => {
    const begin = fc.constantFrom(
      Buffer.alloc(0),
      Buffer.from('PROXY '),
      Buffer.from('PROXY TCP4 '),
      SIGNATURE,
    );
    fc.assert(
      fc.property(begin, fc.uint8Array({ maxLength: 300 }), (head, rest) => {
        const bytes = Buffer.concat([head, rest]);
        const header = proxyHeaderOf(bytes);
        if (typeof header === 'object') expect(header.length).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});
