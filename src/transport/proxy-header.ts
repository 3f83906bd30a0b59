/**
 * Parses the PROXY protocol header in which a proxy sends the client's address, versions 1 and 2
 * (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1, 2.2).
 *
 * Not here: which peers may send one, and how it is used (`proxied.ts`).
 */
import { isIP } from 'node:net';
import { canonical } from './address.js';

/**
 * The client of a connection; the address is empty if the proxy does not know it. Null for the proxy's
 * own health check.
 */
export type ProxiedPeer = { readonly address: string; readonly port: number } | null;

export interface ProxyHeader {
  /** Length of the header in bytes; the client's own data follows. */
  readonly length: number;
  readonly peer: ProxiedPeer;
}

/** Maximum header bytes. Version 1 takes up to 107; version 2 takes 52 plus the proxy's extensions. */
export const MAX_HEADER_BYTES = 2048;

const V1 = Buffer.from('PROXY ');
const MAX_V1_BYTES = 107;
const V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_HEAD_BYTES = 16;
/** Address length in bytes by version 2 family, for TCP. */
const ADDRESS_BYTES: Readonly<Record<number, number>> = { 17: 4, 33: 16 };
const UNKNOWN: ProxiedPeer = { address: '', port: 0 };

/** Parses the header that starts `bytes`: `more` if it is incomplete, `none` if there is none. */
export function proxyHeaderOf(bytes: Buffer): ProxyHeader | 'more' | 'none' {
  if (beginsLike(bytes, V1)) return bytes.length < V1.length ? 'more' : version1(bytes);
  if (beginsLike(bytes, V2)) return bytes.length < V2_HEAD_BYTES ? 'more' : version2(bytes);
  return 'none';
}

/** Compares as many bytes as both have. */
function beginsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.subarray(0, length).equals(signature.subarray(0, length));
}

/** `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, and the end of a line. */
function version1(bytes: Buffer): ProxyHeader | 'more' | 'none' {
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf('\r\n');
  if (end < 0) return bytes.length < MAX_V1_BYTES ? 'more' : 'none';
  const length = end + 2;
  const [, family, source = '', target = '', port = '', targetPort = '', ...rest] = bytes
    .toString('latin1', 0, end)
    .split(' ');
  if (family === 'UNKNOWN') return { length, peer: UNKNOWN };
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0;
  const isWhole =
    version !== 0 &&
    isIP(source) === version &&
    isIP(target) === version &&
    isPort(port) &&
    isPort(targetPort) &&
    rest.length === 0;
  return isWhole ? { length, peer: { address: canonical(source), port: Number(port) } } : 'none';
}

const isPort = (text: string) => /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;

function version2(bytes: Buffer): ProxyHeader | 'more' | 'none' {
  const [versionAndCommand = 0, family = 0] = bytes.subarray(V2.length);
  const length = V2_HEAD_BYTES + bytes.readUInt16BE(V2.length + 2);
  if (versionAndCommand >> 4 !== 2 || length > MAX_HEADER_BYTES) return 'none';
  const command = versionAndCommand & 15;
  if (command > 1) return 'none';
  if (bytes.length < length) return 'more';
  const size = ADDRESS_BYTES[family];
  if (command === 0) return { length, peer: null };
  if (size === undefined) return { length, peer: UNKNOWN };
  if (length < V2_HEAD_BYTES + 2 * size + 4) return 'none';
  const source = bytes.subarray(V2_HEAD_BYTES, V2_HEAD_BYTES + size);
  const port = bytes.readUInt16BE(V2_HEAD_BYTES + 2 * size);
  return { length, peer: { address: textOf(source), port } };
}

/** The address in normal form. */
function textOf(address: Buffer): string {
  if (address.length === 4) return address.join('.');
  return canonical(address.toString('hex').replace(/(.{4})(?!$)/g, '$1:'));
}
