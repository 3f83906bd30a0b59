/** Size limit of the single-file bundle, and the property names that it may shorten. */

/** Maximum size of the core, minified and compressed by gzip -9, in bytes. */
export const LIMIT = 6144;

/**
 * Property names that neither an app nor a server sees. They are listed here because a bundler cannot
 * find them by itself. `test/client/bundle.test.ts` checks that no other name collides with them.
 */
export const INTERNAL = [
  ...['ask', 'closing', 'isAnswered', 'probe', 'request', 'socket', 'welcome', 'welcomed'],
  ...['end', 'fail', 'healer', 'isOwn', 'outbox', 'pauseAfter', 'shared', 'usable'],
  ...['dismiss', 'granted', 'progress', 'received', 'rejoin', 'roster', 'sendJoin'],
  ...['forget', 'pump', 'settle', 'whenIdle'],
  ...['deliver', 'enter', 'isWanted', 'quit', 'take', 'tell', 'tellReset'],
  ...['drop', 'heals', 'holds', 'release', 'told'],
  ...['emit', 'lost', 'offAll', 'present', 'refresh'],
];
