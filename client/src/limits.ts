/** Timeouts and bounds of the client. The bundler inlines the constants. */

/** The longest delay that timers support. */
export const LONGEST_MS = 2 ** 31 - 1;

// A connection
export const CONNECT_MS = 10_000;
export const PONG_MS = 10_000;
export const HEARTBEAT_MS = 25_000;
/** A timer that fires later than this indicates that the machine slept. */
export const LATE_MS = 5000;
export const PROBE_MS = 3000;
/** Timeout for the close after the server has sent `closing`. */
export const FAREWELL_MS = 2000;

// Attempts
export const PAUSE_MS = 1000;
export const LONGEST_PAUSE_MS = 30_000;
export const LEAST_PAUSE_MS = 100;
export const STABLE_MS = 10_000;
/** Minimum time between two attempts, however often the network changes. */
export const AGAIN_MS = 1000;
/** Wait after a close whose code should have had a `retryAfterMs` but did not. */
export const WITHIN_MS = 5000;
export const LEAST_MS = 1000;
/** Consecutive closes with 4013 (protocol error) until the client gives up. */
export const STRIKES = 3;
/** Consecutive attempts without a first frame until the client reports an error. */
export const UNREACHABLE = 5;
/** Number of past member ids kept to recognise the client's own messages. */
export const MEMBERS = 100;

// Tokens
export const TOKEN_MS = 10_000;
/** Pause before the next token request after a refusal or failure; randomised up to twice this. */
export const REFRESH_MS = 5000;

// Rooms
/** Maximum number of events that an iterator has not read. */
export const BUFFER = 1000;

// Publishes
export const PUBLISH_MS = 10_000;
export const QUEUE_MESSAGES = 100;
export const QUEUE_BYTES = 65_536;
/** Retry interval when the socket is full or the broker has not confirmed a publish. */
export const PUMP_MS = 50;
/** Maximum number of publishes sent and not answered. */
export const IN_FLIGHT = 1000;
/**
 * Maximum of the socket's own send buffer. Further publishes wait in the client, where they can still be
 * aborted.
 */
export const BUFFERED_BYTES = 256 * 1024;
/** Bytes reserved for the `id`, which is added when the publish is sent. */
export const ID_BYTES = 20;
