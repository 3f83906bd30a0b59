/** How long the client waits for what, and how much it holds. A bundler writes these where they are used. */

/** The longest that timers wait. */
export const LONGEST_MS = 2 ** 31 - 1;

// A connection
export const CONNECT_MS = 10_000;
export const PONG_MS = 10_000;
export const HEARTBEAT_MS = 25_000;
/** A timer that fires later than this says that the machine slept. */
export const LATE_MS = 5000;
export const PROBE_MS = 3000;
/** How long a server that has said `closing` may be silent. */
export const FAREWELL_MS = 2000;

// Attempts
export const PAUSE_MS = 1000;
export const LONGEST_PAUSE_MS = 30_000;
export const LEAST_PAUSE_MS = 100;
export const STABLE_MS = 10_000;
/** No sooner than this after the attempt before, however often a network comes and goes. */
export const AGAIN_MS = 1000;
/** What codes wait for where the server has not said. */
export const WITHIN_MS = 5000;
export const LEAST_MS = 1000;
/** Frames that the server could not read, in a row, until that is final. */
export const STRIKES = 3;
/** Attempts without a word of the server until that is an error. */
export const UNREACHABLE = 5;
/** Connections whose messages are known as own. */
export const MEMBERS = 100;

// Tokens
export const TOKEN_MS = 10_000;
/** Until another is asked for, where one was refused or not to be had; twice that at most. */
export const REFRESH_MS = 5000;

// Rooms
/** Events that an iterator has not taken. */
export const BUFFER = 1000;

// Publishes
export const PUBLISH_MS = 10_000;
export const QUEUE_MESSAGES = 100;
export const QUEUE_BYTES = 65_536;
/** Until a socket that is full, or a publish that the broker has not confirmed, is tried again. */
export const PUMP_MS = 50;
/** Sent and not answered. */
export const IN_FLIGHT = 1000;
/** Of what the socket has not sent yet; more waits here, where it can still be taken back. */
export const BUFFERED_BYTES = 256 * 1024;
/** Of the id that is put in when it is sent. */
export const ID_BYTES = 20;
