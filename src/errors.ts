/**
 * Every code a user can meet: why a connection was closed, why a command was refused, why the
 * process would not start. The tables are also the label sets of the metrics (V9), so a reason
 * that is not written here cannot be counted, and a client cannot invent one (V11).
 */

/**
 * Why the server closed a connection. `code` is what the client reads; its range says what to do:
 * 4000–4099 do not reconnect, 4100–4199 reconnect with back-off, 4200–4299 reconnect after
 * `retryAfterMs`. The ranges are those of the Pusher protocol. The codes below 2000 are those of
 * RFC 6455, 7.4.1, for a peer that breaks the RFC itself; the same peer would only break it again.
 */
export const CLOSE = {
  bad_frame: { code: 1002, text: 'A frame was not as RFC 6455 has them.' },
  bad_utf8: { code: 1007, text: 'A text was not valid UTF-8.' },
  frame_too_big: { code: 1009, text: 'A frame was announced with 2^53 bytes or more.' },
  unauthorised: { code: 4001, text: 'The token is not one that is taken here.' },
  forbidden: { code: 4003, text: 'This was ended by an operator, or the origin is not allowed.' },
  revoked: { code: 4005, text: 'The token, or its user, was cut off.' },
  message_too_big: { code: 4009, text: 'A message was larger than the limit.' },
  protocol_error: { code: 4013, text: 'What was sent is not as SockJS has it.' },
  over_capacity: { code: 4100, text: 'The server has all the connections it may have.' },
  slow_consumer: { code: 4101, text: 'Messages were not read for too long.' },
  control_overflow: { code: 4102, text: 'Replies were not read for too long.' },
  rate_limited: {
    code: 4103,
    text: 'Commands came faster than they can be carried out, or too many frames were none.',
  },
  memory_pressure: {
    code: 4104,
    text: 'Queues were full everywhere; the longest stalled go first.',
  },
  token_expired: { code: 4105, text: 'The token has expired; come back with a new one.' },
  not_authenticated: {
    code: 4106,
    text: 'No token came in time, or none can be checked now.',
  },
  nothing_sent: { code: 4107, text: 'Nothing was sent in time.' },
  internal_error: { code: 4199, text: 'The server made a mistake; it is in its log.' },
  going_away: { code: 4200, text: 'The server is shutting down.' },
  heartbeat_missed: { code: 4201, text: 'A heartbeat was not answered.' },
} as const satisfies Record<string, { code: number; text: string }>;

/** A reason of the server's own. */
export type CloseReason = keyof typeof CLOSE;

/** Why the server gives up on a member: it is too slow, too fast, or does not answer. */
const EVICTIONS: ReadonlySet<EndReason> = new Set<CloseReason>([
  'slow_consumer',
  'control_overflow',
  'rate_limited',
  'memory_pressure',
  'heartbeat_missed',
]);

export const isEviction = (reason: EndReason): boolean => EVICTIONS.has(reason);

/** How a connection ended: for a reason of ours, by a proper close of the peer, or with a lost connection. */
export type EndReason = CloseReason | 'client' | 'lost';

/** Why a command (or an HTTP request) was refused. The HTTP status is the one `http/` answers with. */
export const REFUSAL = {
  bad_json: { status: 400, text: 'The frame, or the body, is not JSON.' },
  bad_command: { status: 400, text: 'A field is missing, unknown or of the wrong type.' },
  bad_room: {
    status: 400,
    text: 'The name of the room is empty, too long or has other characters.',
  },
  too_deep: { status: 400, text: 'The JSON is nested too deeply.' },
  head_too_big: { status: 431, text: 'The head of the request is larger than 16 KiB.' },
  too_slow: { status: 408, text: 'The request, or its body, did not arrive in time.' },
  binary_frame: { status: 400, text: 'Only text frames are understood.' },
  command_too_big: { status: 413, text: 'A command other than publish is larger than the limit.' },
  message_too_big: { status: 413, text: 'The message is larger than the limit.' },
  not_joined: { status: 409, text: 'The room has to be joined first.' },
  already_joined: { status: 409, text: 'The room is joined already.' },
  too_many_rooms: { status: 409, text: 'The member is in as many rooms as it may be.' },
  no_more_rooms: { status: 503, text: 'The server has as many rooms as it may have.' },
  bad_position: {
    status: 400,
    text: 'A position, or a range of them, is not one: a field is missing, or has no such value.',
  },
  not_enabled: { status: 409, text: 'This is switched off here, or in this namespace.' },
  history_busy: {
    status: 429,
    text: 'The member has as many requests for history waiting as it may.',
  },
  rate_limited: { status: 429, text: 'Too many of these in too short a time.' },
  too_many_viewers: { status: 503, text: 'As many live pages are open as may be.' },
  server_busy: { status: 503, text: 'More of this is under way than the server may hold.' },
  room_busy: { status: 503, text: 'The room has more waiting to be fanned out than it may have.' },
  broker_unavailable: {
    status: 503,
    text: 'The broker could not do it; of what was to be published nobody has seen anything.',
  },
  broker_uncertain: {
    status: 504,
    text: 'The broker has not answered in time: it may have been published, once.',
  },
  worker_unavailable: {
    status: 503,
    text: 'The worker that has this is not there now; ask again.',
  },
  shutting_down: { status: 503, text: 'The server is shutting down.' },
  unauthorised: {
    status: 401,
    text: 'The API key, or the token of a connection, is missing or wrong.',
  },
  token_invalid: { status: 401, text: 'The token is not one that is taken here.' },
  token_expired: { status: 401, text: 'The token has expired.' },
  token_revoked: { status: 401, text: 'The token, or its user, was cut off.' },
  token_too_big: { status: 413, text: 'The token is larger than the limit.' },
  keys_unavailable: {
    status: 503,
    text: 'Tokens cannot be checked now; whether this one is good is not known.',
  },
  check_failed: {
    status: 503,
    text: 'The app that says who may do what has failed, or has not answered in time.',
  },
  identity_changed: { status: 409, text: 'The token is of another user than the one before.' },
  revocations_full: { status: 503, text: 'There are as many revocations as may be.' },
  not_allowed: { status: 403, text: 'The user may not do this in this room.' },
  forbidden: { status: 403, text: 'Without an API key, only this machine may ask.' },
  not_found: { status: 404, text: 'There is no such thing.' },
  method_not_allowed: { status: 405, text: 'There is another method for this.' },
  upgrade_required: { status: 426, text: 'This is a WebSocket; ask for an upgrade.' },
  internal_error: { status: 500, text: 'The server made a mistake; it is in its log.' },
} as const satisfies Record<string, { status: number; text: string }>;

export type RefusalCode = keyof typeof REFUSAL;

/** V8's; `protocol/` and the page are compiled for browsers, which need not have it. */
const stacks: ErrorConstructor & { stackTraceLimit?: number | undefined } = Error;

/**
 * A command that was not carried out; its sender is told, nobody else notices. An answer like any
 * other, so it has no stack: walking it was most of what a refusal cost.
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
 * Why options cannot be used: a name that there is none of, a value that is not allowed, two values
 * that do not fit to each other, a file that cannot be read or is not JSON.
 */
export type ConfigErrorCode =
  | 'unknown_option'
  | 'bad_option'
  | 'unfit_options'
  | 'bad_config_file'
  | 'needs_restart';

/** What a `ConfigError` is about, for programs; its message says the same in one line. */
export interface ConfigErrorAbout {
  readonly code: ConfigErrorCode;
  /** Name of the option, as `Config` has it; null where it is about none. */
  readonly option?: string | null;
  /** What it was given; of a secret, nothing. */
  readonly value?: unknown;
  /** What would be right, in words. */
  readonly allowed?: string | null;
}

/** One thing that is wrong, as a value: an error that held itself would end whoever writes it to a log. */
export interface ConfigFault extends Required<ConfigErrorAbout> {
  readonly message: string;
}

/**
 * Options that cannot be used, the same from every entrance (V14). What is said of one is one line; of
 * several the first is what `code`, `option`, `value` and `allowed` are about, and the message has a
 * line for each.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code: ConfigErrorCode;
  readonly option: string | null;
  readonly value: unknown;
  readonly allowed: string | null;
  /** Everything that is wrong, at least one. */
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

  /** One error of all these; there is at least one. */
  static of(errors: readonly ConfigError[]): ConfigError {
    const [first] = errors;
    if (errors.length === 1) return first as ConfigError;
    const lines = errors.map(({ message }) => message).join('\n');
    const faults = errors.flatMap((error) => error.errors);
    return new ConfigError(lines, first, faults);
  }
}
