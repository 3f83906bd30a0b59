/** What the one file of the client may be: its size, and which names in it nobody else knows. */

/** Of the core, minified and compressed by gzip -9, in bytes. */
export const LIMIT = 6144;

/**
 * Names of properties that no app and no server ever sees. They are shortened, since no bundler can
 * know that by itself. `test/client/bundle.test.ts` holds them apart from all other names.
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
