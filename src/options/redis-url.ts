/**
 * Where a Redis is, as `redisUrl` says it: the address of a primary, or of Sentinels that know which one it
 * is.
 */

export interface RedisPlace {
  /** Of the primary; null where Sentinels are asked for it. */
  readonly url: string | null;
  readonly sentinels: readonly Sentinel[];
  /** What Sentinels call the primary. */
  readonly name: string;
  /** Of a server at this host and port, with the user and password that were given. */
  urlOf(host: string, port: string | number): string;
}

export interface Sentinel {
  readonly host: string;
  readonly port: string;
}

const SENTINELS =
  /^(?<scheme>rediss?)\+sentinel:\/\/(?:(?<login>[^@/]*)@)?(?<hosts>[^@/?#]+)\/(?<name>[\w.-]{1,64})$/;
const SENTINEL_PORT = '26379';
const MOST_SENTINELS = 16;

/** Null for what is no address of this kind. */
export function parseRedisUrl(text: string): RedisPlace | null {
  const { scheme, login, hosts, name } = SENTINELS.exec(text)?.groups ?? {};
  if (scheme === undefined || hosts === undefined || name === undefined) return ofPrimary(text);
  const sentinels: Sentinel[] = [];
  for (const each of hosts.split(',')) {
    const parsed = parse(`redis://${each}`);
    if (parsed === null) return null;
    sentinels.push({ host: parsed.hostname, port: parsed.port || SENTINEL_PORT });
  }
  const prefix = `${scheme}://${login === undefined ? '' : `${login}@`}`;
  if (sentinels.length > MOST_SENTINELS || !URL.canParse(`${prefix}host`)) return null;
  const urlOf = (host: string, port: string | number) => `${prefix}${bracketed(host)}:${port}`;
  return { url: null, sentinels, name, urlOf };
}

function ofPrimary(text: string): RedisPlace | null {
  const parsed = parse(text);
  if (parsed === null) return null;
  return { url: text, sentinels: [], name: '', urlOf: () => text };
}

function parse(text: string): URL | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const { protocol, hostname, pathname } = url;
  // Channels know no database number, so none is taken.
  const isOne = /^rediss?:$/.test(protocol) && hostname !== '' && ['', '/'].includes(pathname);
  return isOne ? url : null;
}

/** An address of IPv6 as it stands in an URL. */
const bracketed = (host: string) =>
  host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
