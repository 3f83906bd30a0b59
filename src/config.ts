/**
 * Every option of the server, once: name, default, unit, range, meaning. Flags (kebab-case),
 * environment variables (ROOMCAST_ and upper snake case), the keys of a `--config` file and the
 * text of `--help` are all derived from `schema`. The limits in it are what V3 and V11 are bounded by.
 *
 * Not here: reading the command line and writing the help (`cli/`), what an option does (its user).
 */
import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { type Static, type TSchema, Type } from 'typebox';
import Value from 'typebox/value';
import { ConfigError } from './errors.js';

/** Headings of `--help`, in its order. */
export const GROUPS = [
  'Server',
  'Limits (0 switches off a rate or a count)',
  'Queues (top level: the namespace "default")',
  'Time',
] as const;

const [SERVER, LIMITS, QUEUES, TIME] = GROUPS;

interface Meta {
  readonly group: (typeof GROUPS)[number];
  readonly description: string;
  /** What a value is called in the help, its unit where it has one. */
  readonly unit: string;
  /** What 0 means where it is not a quantity. */
  readonly zero?: string;
  /** What is allowed, in words, where the schema does not say it readably. */
  readonly allowed?: string;
  /** Never shown: neither in the help, nor in an error. */
  readonly secret?: true;
}

const DAY = 86_400_000;
const GIB = 2 ** 30;

/** `[default, minimum, maximum]`, all in the option's unit. */
function integer([value, minimum, maximum]: [number, number, number], meta: Meta) {
  return Type.Integer({ default: value, minimum, maximum, ...meta });
}

function text(value: string, options: { pattern?: string; maxLength: number }, meta: Meta) {
  return Type.String({ default: value, minLength: 1, ...options, ...meta });
}

/** Empty by default; in a flag or a variable its items are separated by commas. */
function list(item: TSchema & { type: 'string' }, meta: Meta) {
  return Type.Array(item, { default: [], maxItems: 1000, ...meta });
}

const POLICIES = ['drop-oldest', 'drop-newest', 'latest-by-key', 'disconnect'] as const;
const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** What each namespace may have of its own. */
const queuePolicy = {
  policy: Type.Enum([...POLICIES], {
    default: 'drop-oldest',
    group: QUEUES,
    unit: 'policy',
    description: 'What happens when the queue of a member is full.',
  }),
  queueMessages: integer([1024, 1, 1_000_000], {
    group: QUEUES,
    unit: 'messages',
    description: 'Messages that may wait for one member.',
  }),
  queueBytes: integer([1_048_576, 1024, GIB], {
    group: QUEUES,
    unit: 'bytes',
    description: 'Bytes that may wait for one member.',
  }),
  disconnectGraceMs: integer([5000, 0, DAY], {
    group: QUEUES,
    unit: 'ms',
    zero: 'at once',
    description: 'With policy disconnect: time from a full queue to the close.',
  }),
  lagAfterMs: integer([250, 1, DAY], {
    group: QUEUES,
    unit: 'ms',
    description: 'A member with messages waiting this long is lagging.',
  }),
  recoverAfterMs: integer([1000, 1, DAY], {
    group: QUEUES,
    unit: 'ms',
    description: 'A queue under half full for this long is healthy again.',
  }),
  stallAfterMs: integer([30_000, 1, DAY], {
    group: QUEUES,
    unit: 'ms',
    description: 'A member that reads nothing for this long is evicted.',
  }),
};

const schema = Type.Object({
  host: text(
    '127.0.0.1',
    { pattern: '^[^\\s]+$', maxLength: 255 },
    {
      group: SERVER,
      unit: 'address',
      description: 'Address to listen on; 0.0.0.0 or :: for every interface.',
      allowed: 'an address or a host name',
    },
  ),
  port: integer([8080, 0, 65_535], {
    group: SERVER,
    unit: 'port',
    zero: 'any free port',
    description: 'Port to listen on.',
  }),
  trustProxy: list(Type.Refine(Type.String(), isNetwork), {
    group: SERVER,
    unit: 'networks',
    description: 'Proxies whose X-Forwarded-For is believed.',
    allowed: 'addresses or CIDRs, like 10.0.0.0/8',
  }),
  origin: list(Type.Refine(Type.String(), isOrigin), {
    group: SERVER,
    unit: 'origins',
    description:
      'Origins whose pages may connect; a request without Origin may always. Empty: any.',
    allowed: 'origins, like https://app.example.com, or null',
  }),
  apiKey: list(Type.String({ pattern: '^[!-+.-~-]{1,256}$' }), {
    group: SERVER,
    unit: 'keys',
    description: 'Keys that open /v1; without one it answers this machine only.',
    allowed: 'keys of 1 to 256 visible ASCII characters without a comma',
    secret: true,
  }),
  logLevel: Type.Enum([...LEVELS], {
    default: 'info',
    group: SERVER,
    unit: 'level',
    description: 'The least important lines to log.',
  }),
  metrics: Type.Boolean({
    default: true,
    group: SERVER,
    unit: 'boolean',
    description: 'Serve /metrics.',
  }),

  maxConnections: integer([10_000, 0, 10_000_000], {
    group: LIMITS,
    unit: 'connections',
    zero: 'no limit',
    description: 'Connections in all.',
  }),
  maxConnectionsPerAddress: integer([0, 0, 10_000_000], {
    group: LIMITS,
    unit: 'connections',
    zero: 'no limit',
    description: 'Connections of one address (mind proxies: trust-proxy).',
  }),
  maxMessageBytes: integer([65_536, 128, 16_777_216], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a frame that publishes.',
  }),
  maxCommandBytes: integer([4096, 128, 65_536], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a frame that joins, leaves or pings.',
  }),
  maxRoomsPerMember: integer([100, 0, 100_000], {
    group: LIMITS,
    unit: 'rooms',
    zero: 'no limit',
    description: 'Rooms one member may be in.',
  }),
  maxRoomNameLength: integer([200, 1, 1024], {
    group: LIMITS,
    unit: 'characters',
    description: "Length of a room's name.",
  }),
  roomNamePattern: Type.Refine(
    text(
      '^[A-Za-z0-9_=@,.;:/+~-]+$',
      { maxLength: 1000 },
      {
        group: LIMITS,
        unit: 'pattern',
        description: "What a room's name has to match.",
        allowed: 'a JavaScript regular expression',
      },
    ),
    isPattern,
  ),
  maxJsonDepth: integer([32, 1, 1000], {
    group: LIMITS,
    unit: 'levels',
    description: 'Nesting of the JSON in a frame.',
  }),
  publishRate: integer([100, 0, 1_000_000], {
    group: LIMITS,
    unit: 'per second',
    zero: 'no limit',
    description: 'Publishes of one member, in bursts of up to one second.',
  }),
  joinRate: integer([100, 0, 1_000_000], {
    group: LIMITS,
    unit: 'per second',
    zero: 'no limit',
    description: 'Joins of one member, in bursts of up to one second.',
  }),
  firstFrameMs: integer([10_000, 100, DAY], {
    group: LIMITS,
    unit: 'ms',
    description: 'Time to the first frame of a new connection.',
  }),
  maxBodyBytes: integer([131_072, 1024, 67_108_864], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a request body in front of SockJS.',
  }),
  maxHttpBodyBytes: integer([1_048_576, 1024, 67_108_864], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a request body of the HTTP API.',
  }),

  ...queuePolicy,
  namespaces: Type.Record(Type.String(), Type.Partial(Type.Object(queuePolicy)), {
    default: {},
    group: QUEUES,
    unit: 'json',
    description: "Any of the seven above, for rooms whose name begins with a namespace and ':'.",
    allowed: 'JSON like {"chat":{"policy":"disconnect","queueMessages":100}}',
  }),
  queueBytesTotal: integer([268_435_456, 1024, 1024 * GIB], {
    group: QUEUES,
    unit: 'bytes',
    description: 'Bytes waiting for all members; above it the longest stalled are evicted.',
  }),
  controlMessages: integer([1024, 16, 1_000_000], {
    group: QUEUES,
    unit: 'frames',
    description: 'Replies and notices that may wait for one member before it is evicted.',
  }),
  controlBytes: integer([65_536, 8192, GIB], {
    group: QUEUES,
    unit: 'bytes',
    description: 'Bytes of those.',
  }),
  roomBacklogBytes: integer([4_194_304, 1024, GIB], {
    group: QUEUES,
    unit: 'bytes',
    description: 'Bytes of one room that may wait to be fanned out.',
  }),

  heartbeatMs: integer([25_000, 100, DAY], {
    group: TIME,
    unit: 'ms',
    description: 'Between heartbeats; a peer that misses one is closed.',
  }),
  brokerTimeoutMs: integer([5000, 1, DAY], {
    group: TIME,
    unit: 'ms',
    description: 'Time the broker has to answer.',
  }),
  drainMs: integer([2000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'all at once',
    description: 'At shutdown: time over which members are told to go.',
  }),
  shutdownGraceMs: integer([10_000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'do not wait',
    description: 'At shutdown: time until what is left is reset.',
  }),
});

type Mutable = Static<typeof schema>;

/** All options, checked. Integers in the unit of the schema. */
export type Config = {
  readonly [K in keyof Mutable]: Mutable[K] extends (infer Item)[]
    ? readonly Item[]
    : Readonly<Mutable[K]>;
};

/** The options that a namespace may have of its own. */
export type QueuePolicy = Pick<Config, keyof typeof queuePolicy>;

/** One option as `--help` and the command line need it. */
export interface Option extends Meta {
  readonly name: keyof Config;
  /** Without the dashes. */
  readonly flag: string;
  readonly env: string;
  readonly allowed: string;
  readonly default: unknown;
  /** Given several times, or with commas. */
  readonly repeatable: boolean;
}

type Kind = TSchema &
  Meta & {
    readonly type?: string;
    readonly enum?: readonly string[];
    readonly minimum: number;
    readonly maximum: number;
    readonly default: unknown;
  };

const properties = schema.properties as unknown as Readonly<Record<string, Kind>>;
const policyProperties = queuePolicy as unknown as Readonly<Record<string, Kind>>;

export const options: readonly Option[] = Object.entries(properties).map(([name, kind]) => {
  const words = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return {
    name: name as keyof Config,
    flag: words,
    env: `ROOMCAST_${words.replaceAll('-', '_').toUpperCase()}`,
    group: kind.group,
    description: kind.description,
    unit: kind.unit,
    allowed: allowed(kind),
    default: kind.default,
    repeatable: kind.type === 'array',
    ...(kind.secret && { secret: kind.secret }),
  };
});

/** What the server does when nothing is said. */
export const defaults: Config = freeze(
  Object.fromEntries(options.map((option) => [option.name, option.default])) as unknown as Config,
);

export interface Sources {
  /** By option name; the text after the flag, several joined by commas. */
  readonly flags?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file with option names as keys. Without it `ROOMCAST_CONFIG` is looked at. */
  readonly file?: string | undefined;
}

/**
 * The configuration of the server: for each option the flag, else the variable (an empty one counts
 * as not set), else the file, else the default.
 *
 * @throws ConfigError with one line: the option as it was given, its value, what is allowed.
 */
export function loadConfig({ flags = {}, env = {}, file }: Sources): Config {
  const found = new Map<string, { label: string; value: unknown }>();
  fromFile(file ?? (env['ROOMCAST_CONFIG'] || undefined), found);
  fromEnv(env, found);
  for (const [name, value] of Object.entries(flags)) {
    const option = options.find((each) => each.name === name);
    if (!option) throw new ConfigError(`${name} is not an option; see roomcast serve --help`);
    found.set(name, { label: `--${option.flag}`, value: parse(properties[name]!, value) });
  }

  const values: Record<string, unknown> = { ...defaults };
  for (const [name, { label, value }] of found) {
    const kind = properties[name]!;
    if (name === 'namespaces') checkNamespaces(label, value);
    else check(label, kind, value);
    values[name] = value;
  }
  const config = freeze(values as unknown as Config);
  checkTogether(config, (name) => {
    const option = options.find((each) => each.name === name)!;
    const given = found.get(name)?.label ?? `the default of --${option.flag}`;
    return `${given} ${show(config[name])}`;
  });
  return config;
}

/** The part of a room's name before the first `:`; `default` without one. */
export function namespaceOf(room: string): string {
  const colon = room.indexOf(':');
  return colon < 0 ? 'default' : room.slice(0, colon);
}

/** The policy of a namespace: its own settings over those of the top level. */
export function policyFor(config: Config, namespace: string): QueuePolicy {
  const own = Object.hasOwn(config.namespaces, namespace) ? config.namespaces[namespace] : {};
  const names = Object.keys(queuePolicy) as (keyof QueuePolicy)[];
  const base = Object.fromEntries(names.map((name) => [name, config[name]]));
  return { ...base, ...own } as QueuePolicy;
}

/** Every namespace with settings, `default` first: the label set of the metrics (V9). */
export function namespaces(config: Config): Map<string, QueuePolicy> {
  const names = ['default', ...Object.keys(config.namespaces)];
  return new Map(names.map((name) => [name, policyFor(config, name)]));
}

/** The networks of `trustProxy`, to be asked about the address of a peer. */
export function trustedProxies(config: Pick<Config, 'trustProxy'>): BlockList {
  const networks = new BlockList();
  for (const text of config.trustProxy) addNetwork(networks, text);
  return networks;
}

function fromFile(path: string | undefined, found: Map<string, { label: string; value: unknown }>) {
  if (path === undefined) return;
  for (const [name, value] of Object.entries(readJson(path))) {
    if (!Object.hasOwn(properties, name)) {
      throw new ConfigError(`${show(name)} in ${path} is not an option; see roomcast serve --help`);
    }
    found.set(name, { label: `${name} in ${path}`, value });
  }
}

function fromEnv(
  env: Readonly<Record<string, string | undefined>>,
  found: Map<string, { label: string; value: unknown }>,
) {
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('ROOMCAST_') || variable === 'ROOMCAST_CONFIG' || !value) continue;
    const option = options.find((each) => each.env === variable);
    if (!option) throw new ConfigError(`${variable} is not an option; see roomcast serve --help`);
    found.set(option.name, { label: variable, value: parse(properties[option.name]!, value) });
  }
}

function readJson(path: string): object {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`--config ${show(path)} cannot be read (${code}): give a JSON file`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text around the mistake, which may hold a key.
    throw new ConfigError(`--config ${show(path)} is not valid JSON`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError(`--config ${show(path)} is not a JSON object of options`);
  }
  return value;
}

/** The value a text stands for; the text itself where it stands for none, to be refused by `check`. */
function parse(kind: Kind, text: string): unknown {
  if (kind.type === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
  if (kind.type === 'boolean') return text === 'true' || (text === 'false' ? false : text);
  if (kind.type === 'array') return text.split(',').map((item) => item.trim());
  if (kind.type === 'object') {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}

function check(label: string, kind: Kind, value: unknown): void {
  if (!Value.Check(kind, value)) throw notAllowed(label, kind, value);
}

function notAllowed(label: string, kind: Kind, value: unknown): ConfigError {
  const shown = kind.secret ? '(not shown)' : show(value);
  return new ConfigError(`${label} ${shown} is not allowed: give ${allowed(kind)}`);
}

function checkNamespaces(label: string, value: unknown): void {
  const kind = properties['namespaces']!;
  if (!isRecord(value)) throw notAllowed(label, kind, value);
  for (const [namespace, policy] of Object.entries(value)) {
    if (namespace === 'default' || !/^[^\s:]{1,100}$/.test(namespace)) {
      throw new ConfigError(
        `${label} ${show(namespace)} is not a name: give 1 to 100 characters, no space, no colon, not default`,
      );
    }
    if (!isRecord(policy)) throw notAllowed(`${label} ${show(namespace)}`, kind, policy);
    for (const [name, setting] of Object.entries(policy)) {
      const own = Object.hasOwn(policyProperties, name) ? policyProperties[name] : undefined;
      if (own) check(`${label} ${namespace}.${name}`, own, setting);
      else {
        const names = Object.keys(policyProperties).join(', ');
        throw new ConfigError(
          `${label} ${show(`${namespace}.${name}`)} is not an option: give any of ${names}`,
        );
      }
    }
  }
}

/** What no option can say about itself. `given` names an option the way the user set it. */
function checkTogether(config: Config, given: (name: keyof Config) => string): void {
  type Name = keyof { [K in keyof Config as Config[K] extends number ? K : never]: K };
  const atLeast = (larger: Name, smaller: Name, why: string) => {
    if (config[larger] >= config[smaller]) return;
    throw new ConfigError(
      `${given(larger)} is less than ${given(smaller)}: ${why}, so give at least ${config[smaller]}`,
    );
  };
  atLeast('queueBytesTotal', 'queueBytes', 'one full queue has to fit');
  atLeast('roomBacklogBytes', 'maxMessageBytes', 'one message has to fit');
  atLeast('maxBodyBytes', 'maxMessageBytes', 'one message has to fit');
  atLeast('maxHttpBodyBytes', 'maxMessageBytes', 'one message has to fit');
  atLeast('shutdownGraceMs', 'drainMs', 'members are told to go within the grace');
  for (const [namespace, policy] of namespaces(config)) {
    const named = (name: 'queueBytes' | 'stallAfterMs') =>
      namespace === 'default' ? given(name) : `namespace ${namespace}: ${name} ${policy[name]}`;
    if (policy.queueBytes < config.maxMessageBytes) {
      throw new ConfigError(
        `${named('queueBytes')} is less than ${given('maxMessageBytes')}: one message has to fit, so give at least ${config.maxMessageBytes}`,
      );
    }
    if (policy.queueBytes > config.queueBytesTotal) {
      throw new ConfigError(
        `${named('queueBytes')} is more than ${given('queueBytesTotal')}: one full queue has to fit, so give at most ${config.queueBytesTotal}`,
      );
    }
    if (policy.stallAfterMs < policy.lagAfterMs) {
      throw new ConfigError(
        `${named('stallAfterMs')} is less than lagAfterMs ${policy.lagAfterMs}: a member lags before it stalls, so give at least ${policy.lagAfterMs}`,
      );
    }
  }
}

function allowed(kind: Kind): string {
  if (kind.enum) return `one of ${kind.enum.join(', ')}`;
  if (kind.type === 'boolean') return 'true or false';
  if (kind.type !== 'integer') return kind.allowed ?? '';
  const zero = kind.zero ? ` (0 = ${kind.zero})` : '';
  return `a whole number from ${kind.minimum} to ${kind.maximum}${zero}`;
}

/** A value on one line, cut where it is long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text).source !== '';
  } catch {
    return false;
  }
}

/** Whether a browser could send this as `Origin`: of a page on the web nothing but scheme, host, port. */
function isOrigin(text: string): boolean {
  if (text === 'null') return true;
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/\s,?#@A-Z]+$/.test(text) || !URL.canParse(text)) return false;
  return !/^https?:/.test(text) || new URL(text).origin === text;
}

function isNetwork(text: string): boolean {
  try {
    addNetwork(new BlockList(), text);
    return true;
  } catch {
    return false;
  }
}

/** @throws when it is neither an address nor a network. */
function addNetwork(networks: BlockList, text: string): void {
  const [address = '', prefix, ...rest] = text.split('/');
  if (rest.length > 0) throw new RangeError('more than one prefix');
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if (prefix === undefined) networks.addAddress(address, family);
  else networks.addSubnet(address, /^\d+$/.test(prefix) ? Number(prefix) : -1, family);
}

/** Options are shared by everything that runs; nobody may change one for the others. */
function freeze<T extends object>(value: T): T {
  for (const each of Object.values(value)) {
    if (typeof each === 'object' && each !== null) freeze(each);
  }
  return Object.freeze(value);
}
