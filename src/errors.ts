/**
 * Every code a user can receive: why a connection was closed, why a command was refused, why the
 * process did not start. The tables are also the label sets of the metrics (V9), so a reason
 * missing here cannot be counted, and a client cannot invent one (V11).
 */

/**
 * Why the server closed a connection. The client reads `code`; its range says what to do:
 * 4000–4099 do not reconnect, 4100–4199 reconnect with back-off, 4200–4299 reconnect after
 * `retryAfterMs`. The ranges are those of the Pusher protocol. Codes below 2000 are from
 * RFC 6455, 7.4.1, for a peer that violates the RFC itself; such a peer would only do so again.
 */
export const CLOSE = {
  bad_frame: { code: 1002, text: 'A frame violates RFC 6455.' },
  bad_utf8: { code: 1007, text: 'A text is not valid UTF-8.' },
  frame_too_big: { code: 1009, text: 'A frame header announced 2^53 bytes or more.' },
  unauthorised: { code: 4001, text: 'The server does not accept this token.' },
  forbidden: {
    code: 4003,
    text: 'An operator closed the connection, or the origin is not allowed.',
  },
  revoked: { code: 4005, text: 'The token or its user was revoked.' },
  message_too_big: { code: 4009, text: 'A message was larger than the limit.' },
  protocol_error: { code: 4013, text: 'The data sent is not valid SockJS.' },
  over_capacity: { code: 4100, text: 'The server has reached its limit of connections.' },
  slow_consumer: { code: 4101, text: 'The client did not read messages for too long.' },
  control_overflow: { code: 4102, text: 'The client did not read replies for too long.' },
  rate_limited: {
    code: 4103,
    text: 'Commands arrived faster than the server can run them, or too many frames were invalid.',
  },
  memory_pressure: {
    code: 4104,
    text: 'The queues of all members were full; the server evicts the longest stalled first.',
  },
  token_expired: { code: 4105, text: 'The token has expired; reconnect with a new one.' },
  not_authenticated: {
    code: 4106,
    text: 'No token arrived in time, or the server cannot check tokens now.',
  },
  nothing_sent: { code: 4107, text: 'The client sent nothing in time.' },
  internal_error: { code: 4199, text: 'An internal error; the log of the server has it.' },
  going_away: { code: 4200, text: 'The server is shutting down.' },
  heartbeat_missed: { code: 4201, text: 'The client did not answer a heartbeat.' },
} as const satisfies Record<string, { code: number; text: string }>;

/** A close reason of the server. */
export type CloseReason = keyof typeof CLOSE;

/** Close reasons that count as evictions: the member is too slow, too fast, or does not answer. */
const EVICTIONS: ReadonlySet<EndReason> = new Set<CloseReason>([
  'slow_consumer',
  'control_overflow',
  'rate_limited',
  'memory_pressure',
  'heartbeat_missed',
]);

export const isEviction = (reason: EndReason): boolean => EVICTIONS.has(reason);

/** How a connection ended: a close reason of the server, a close by the client, or a lost connection. */
export type EndReason = CloseReason | 'client' | 'lost';

/** Why a command or an HTTP request was refused. `http/` answers with the HTTP status. */
export const REFUSAL = {
  bad_json: { status: 400, text: 'The frame or the body is not JSON.' },
  bad_command: { status: 400, text: 'A field is missing, unknown or of the wrong type.' },
  bad_room: {
    status: 400,
    text: 'The room name is empty, too long or contains a character that is not allowed.',
  },
  too_deep: { status: 400, text: 'The JSON is nested too deeply.' },
  head_too_big: { status: 431, text: 'The head of the request is larger than 16 KiB.' },
  too_slow: { status: 408, text: 'The request or its body did not arrive in time.' },
  binary_frame: { status: 400, text: 'The server accepts text frames only.' },
  command_too_big: { status: 413, text: 'A command other than publish is larger than the limit.' },
  message_too_big: { status: 413, text: 'The message is larger than the limit.' },
  not_joined: { status: 409, text: 'The member has not joined the room.' },
  already_joined: { status: 409, text: 'The member has already joined the room.' },
  too_many_rooms: { status: 409, text: 'The member has reached its limit of joined rooms.' },
  no_more_rooms: { status: 503, text: 'The server has reached its limit of rooms.' },
  bad_position: {
    status: 400,
    text: 'The position or the range is invalid: a field is missing or has a wrong value.',
  },
  not_enabled: { status: 409, text: 'This is not enabled on this server or in this namespace.' },
  history_busy: {
    status: 429,
    text: 'The member has reached its limit of waiting history requests.',
  },
  rate_limited: { status: 429, text: 'Too many requests of this kind in too short a time.' },
  too_many_viewers: { status: 503, text: 'The limit of open live pages is reached.' },
  server_busy: {
    status: 503,
    text: 'The server has too many operations of this kind in progress.',
  },
  room_busy: { status: 503, text: 'The room has too many messages waiting for fan-out.' },
  broker_unavailable: {
    status: 503,
    text: 'The broker could not carry this out; nothing was published.',
  },
  broker_uncertain: {
    status: 504,
    text: 'The broker did not answer in time; the message may have been published, at most once.',
  },
  worker_unavailable: {
    status: 503,
    text: 'The worker that owns this is unavailable now; try again.',
  },
  shutting_down: { status: 503, text: 'The server is shutting down.' },
  unauthorised: {
    status: 401,
    text: 'The API key or the token of the connection is missing or wrong.',
  },
  token_invalid: { status: 401, text: 'The server does not accept this token.' },
  token_expired: { status: 401, text: 'The token has expired.' },
  token_revoked: { status: 401, text: 'The token or its user was revoked.' },
  token_too_big: { status: 413, text: 'The token is larger than the limit.' },
  keys_unavailable: {
    status: 503,
    text: 'The server cannot check tokens now, so it does not know whether this one is valid.',
  },
  check_failed: {
    status: 503,
    text: 'The authorization check of the app failed or did not answer in time.',
  },
  identity_changed: { status: 409, text: 'The token belongs to another user than the one before.' },
  revocations_full: { status: 503, text: 'The server has reached its limit of revocations.' },
  not_allowed: { status: 403, text: 'The user may not do this in this room.' },
  forbidden: {
    status: 403,
    text: 'Without an API key, only requests from this machine are allowed.',
  },
  not_found: { status: 404, text: 'This does not exist.' },
  method_not_allowed: { status: 405, text: 'This path does not support the method.' },
  upgrade_required: { status: 426, text: 'This is a WebSocket endpoint; send an upgrade request.' },
  internal_error: { status: 500, text: 'An internal error; the log of the server has it.' },
} as const satisfies Record<string, { status: number; text: string }>;

export type RefusalCode = keyof typeof REFUSAL;

/** `stackTraceLimit` exists in V8 only; `protocol/` and the page are also compiled for browsers. */
const stacks: ErrorConstructor & { stackTraceLimit?: number | undefined } = Error;

/**
 * A refused command. The server answers its sender and nobody else notices. A refusal has no stack,
 * since capturing one was most of what a refusal cost.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  constructor(
    readonly code: RefusalCode,
    message: string,
  ) {
    const { stackTraceLimit } = stacks;
    stacks.stackTraceLimit = 0;
    super(message);
    stacks.stackTraceLimit = stackTraceLimit;
  }
}

export const shuttingDown = () => new Refusal('shutting_down', 'The server is shutting down.');

/**
 * Why options cannot be used: an unknown name, a value that is not allowed, two values that contradict
 * each other, a file that cannot be read or is not JSON, a change that needs a restart.
 */
export type ConfigErrorCode =
  | 'unknown_option'
  | 'bad_option'
  | 'unfit_options'
  | 'bad_config_file'
  | 'needs_restart';

/** The subject of a `ConfigError`, for programs; its message says the same in one line. */
export interface ConfigErrorAbout {
  readonly code: ConfigErrorCode;
  /** Name of the option, as in `Config`; null if the error concerns none. */
  readonly option?: string | null;
  /** The value given; undefined for a secret. */
  readonly value?: unknown;
  /** What would be allowed, in words. */
  readonly allowed?: string | null;
}

/** One fault, as a plain value: an error that contained itself would break a logger that serializes it. */
export interface ConfigFault extends Required<ConfigErrorAbout> {
  readonly message: string;
}

/**
 * Options that cannot be used; every entrance throws the same error (V14). One fault is one line of the
 * message. With several faults, `code`, `option`, `value` and `allowed` are those of the first, and the
 * message has a line for each.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code: ConfigErrorCode;
  readonly option: string | null;
  readonly value: unknown;
  readonly allowed: string | null;
  /** All faults, at least one. */
  readonly errors: readonly ConfigFault[];

  constructor(
    message: string,
    about: ConfigErrorAbout = { code: 'bad_option' },
    errors?: readonly ConfigFault[],
  ) {
    super(message);
    const { code, option = null, value, allowed = null } = about;
    this.code = code;
    this.option = option;
    this.value = value;
    this.allowed = allowed;
    this.errors = errors ?? [{ message, code, option, value, allowed }];
  }

  /** Combines the errors into one; `errors` has at least one. */
  static of(errors: readonly ConfigError[]): ConfigError {
    const [first] = errors;
    if (errors.length === 1) return first as ConfigError;
    const lines = errors.map(({ message }) => message).join('\n');
    const faults = errors.flatMap((error) => error.errors);
    return new ConfigError(lines, first, faults);
  }
}
