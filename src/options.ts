/**
 * Every option of the server, once: name, default, unit, range, meaning. Flags (kebab-case),
 * environment variables (ROOMCAST_ and upper snake case), the keys of a `--config` file and the
 * text of `--help` are all derived from it. Its limits are what V3 and V11 are bounded by.
 *
 * Not here: where values come from and whether they fit together (`config.ts`), reading the command
 * line and writing the help (`cli/`), what an option does (its user).
 */
import { type TSchema, Type } from 'typebox';
import { isNetwork, isOrigin, isPattern, networkOf, originOf } from './option-kinds.js';

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
  /** What was probably meant by a text that is not allowed. */
  readonly meant?: (text: string) => string | null;
}

const DAY = 86_400_000;
const GIB = 2 ** 30;

/**
 * The schema of an option whose values are of this type. TypeBox has no part in the type: who uses
 * ours would have to check all of its own: four times the work with `skipLibCheck: false`.
 */
interface Schema<Value = unknown> extends Meta {
  readonly default: Value;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly items?: object;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** `of` was made with this default and this meta; what TypeBox returns does not say so. */
const schemaOf = <Value>(of: TSchema) => of as Schema<Value>;

/** `[default, minimum, maximum]`, all in the option's unit. */
function integer([value, minimum, maximum]: [number, number, number], meta: Meta) {
  return schemaOf<number>(Type.Integer({ default: value, minimum, maximum, ...meta }));
}

function bool(value: boolean, meta: Meta) {
  return schemaOf<boolean>(Type.Boolean({ default: value, ...meta }));
}

function choice<Word extends string>(value: Word, words: readonly Word[], meta: Meta) {
  return schemaOf<Word>(Type.Enum([...words], { default: value, ...meta }));
}

interface TextOptions {
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly is?: (text: string) => boolean;
}

function string({
  is,
  ...options
}: TextOptions & { readonly default?: string; minLength?: number }) {
  return is === undefined ? Type.String(options) : Type.Refine(Type.String(options), is);
}

function text(value: string, options: TextOptions, meta: Meta) {
  return schemaOf<string>(string({ default: value, minLength: 1, ...options, ...meta }));
}

/** Empty by default; in a flag or a variable its items are separated by commas. */
function list(item: TextOptions, meta: Meta) {
  return schemaOf<readonly string[]>(
    Type.Array(string(item), { default: [], maxItems: 1000, ...meta }),
  );
}

/** Empty by default; what stands under a name is checked by `config.ts`. */
function map<Value>(meta: Meta) {
  return schemaOf<Readonly<Record<string, Value>>>(
    Type.Record(Type.String(), Type.Object({}), { default: {}, ...meta }),
  );
}

/** The values that options may have. */
export type Values<Schemas> = {
  readonly [Name in keyof Schemas]: Schemas[Name] extends Schema<infer Value> ? Value : never;
};

const POLICIES = ['drop-oldest', 'drop-newest', 'latest-by-key', 'disconnect'] as const;
const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** What each namespace may have of its own. */
export const queuePolicy = {
  policy: choice('drop-oldest', POLICIES, {
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
    description: 'A member that takes not a byte of what waits for it for this long is evicted.',
  }),
};

export const schema = {
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
  trustProxy: list(
    { is: isNetwork },
    {
      group: SERVER,
      unit: 'networks',
      description: 'Proxies whose X-Forwarded-For or Forwarded is believed.',
      allowed: 'addresses or CIDRs, like 10.0.0.0/8',
      meant: networkOf,
    },
  ),
  origin: list(
    { is: isOrigin },
    {
      group: SERVER,
      unit: 'origins',
      description:
        'Origins whose pages may connect; a request without Origin may always. Empty: any.',
      allowed: 'origins, like https://app.example.com, or null',
      meant: originOf,
    },
  ),
  apiKey: list(
    { pattern: '^[!-+.-~-]{1,256}$' },
    {
      group: SERVER,
      unit: 'keys',
      description: 'Keys that open /v1; without one it answers this machine only.',
      allowed: 'keys of 1 to 256 visible ASCII characters without a comma',
      secret: true,
    },
  ),
  logLevel: choice('info', LEVELS, {
    group: SERVER,
    unit: 'level',
    description: 'The least important lines to log.',
  }),
  metrics: bool(true, {
    group: SERVER,
    unit: 'boolean',
    description: 'Serve /metrics.',
  }),
  lockDetector: choice('watch', ['off', 'watch', 'strict'], {
    group: SERVER,
    unit: 'mode',
    description:
      'Watch the locks: watch reports deadlocks and long holds in the log, strict also breaks deadlocks.',
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
    description: 'Connections of one address; behind a proxy needs --trust-proxy.',
  }),
  maxMessageBytes: integer([65_536, 128, 16_777_216], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a frame that publishes, and of its data as it is sent on.',
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
  maxRooms: integer([100_000, 0, 10_000_000], {
    group: LIMITS,
    unit: 'rooms',
    zero: 'no limit',
    description: 'Rooms in all that somebody is in; each takes 2 KB and more.',
  }),
  maxRoomNameLength: integer([200, 1, 1024], {
    group: LIMITS,
    unit: 'characters',
    description: "Length of a room's name.",
  }),
  roomNamePattern: text(
    '^[A-Za-z0-9_=@,.;:/+~-]+$',
    { maxLength: 1000, is: isPattern },
    {
      group: LIMITS,
      unit: 'pattern',
      description: "What a room's name has to match, all of it.",
      allowed: 'a JavaScript regular expression with the flag u',
    },
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
  maxBodyBytes: integer([16_777_216, 1024, 1_073_741_824], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a request body of SockJS; one holds all messages that waited.',
  }),
  maxHttpBodyBytes: integer([1_048_576, 1024, 67_108_864], {
    group: LIMITS,
    unit: 'bytes',
    description: 'Size of a request body of the HTTP API.',
  }),

  ...queuePolicy,
  namespaces: map<Partial<Values<typeof queuePolicy>>>({
    group: QUEUES,
    unit: 'json',
    description:
      "Any of the above in this group, for rooms whose name begins with a namespace and ':'.",
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
    description:
      'Bytes of one room that may wait to be fanned out; of all rooms, --queue-bytes-total.',
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
  lameDuckMs: integer([1000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'none',
    description:
      'At shutdown: time in which /readyz says no and all else goes on; at most half of what the grace has beside drainMs.',
  }),
  drainMs: integer([2000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'all at once',
    description: 'At shutdown: time over which members are told to go.',
  }),
  shutdownGraceMs: integer([8000, 0, DAY], {
    group: TIME,
    unit: 'ms',
    zero: 'do not wait',
    description: 'At shutdown: time until what is left is reset.',
  }),
};

/** One option as the command line, the help and the loader need it. */
export interface Option {
  readonly name: keyof typeof schema;
  /** Without the dashes. */
  readonly flag: string;
  readonly env: string;
  /** In words. */
  readonly allowed: string;
  readonly schema: Schema;
}

export const options: readonly Option[] = Object.entries<Schema>(schema).map(([name, each]) => {
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return {
    name: name as Option['name'],
    flag,
    env: `ROOMCAST_${flag.replaceAll('-', '_').toUpperCase()}`,
    allowed: allowed(each),
    schema: each,
  };
});

function allowed(kind: Schema): string {
  if (kind.enum) return `one of ${kind.enum.join(', ')}`;
  if (kind.type === 'boolean') return 'true or false';
  if (kind.type !== 'integer') return kind.allowed ?? '';
  const zero = kind.zero ? ` (0 = ${kind.zero})` : '';
  return `${kind.minimum} to ${kind.maximum}${zero}`;
}
