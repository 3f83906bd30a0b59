/**
 * Parses `redisUrl`: the address of a primary, or of Sentinels that can name it.
 */

export interface RedisPlace {
  /** Address of the primary; null if the Sentinels must be asked for it. */
  readonly url: string | null;
  readonly sentinels: readonly Sentinel[];
  /** Name of the primary at the Sentinels. */
  readonly name: string;
  /** Address of a Redis at this host and port, with the user and password given. */
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

/** Null if the text is not a Redis address. */
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
  // Redis channels are global, not per database, so an address of another database is rejected.
  const isOne = /^rediss?:$/.test(protocol) && hostname !== '' && /^\/?0?$/.test(pathname);
  return isOne ? url : null;
}

/** An IPv6 address in the notation of a URL. */
const bracketed = (host: string) =>
  host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
