/**
 * Checks that our Redis user may run every command of the scripts, before anything is written: without
 * one command a room would be left half written. Each is tried on keys of no room or node, and leaves
 * no trace.
 *
 * Not here: what happens if one is missing (`link.ts`).
 */
import type { Keys } from './keys.js';
import { script } from './scripts.js';

/**
 * KEYS: term, then the keys of a room that does not exist: meta, log, uid, presence; the lease of a
 * node that does not exist; the channels of the three.
 * Returns: the commands that are refused, each once.
 */
export const RIGHTS = script(
  `
local refused, named = {}, {}
local function try(name, ...)
  local done = redis.pcall(name, ...)
  local why = type(done) == 'table' and done.err
  if not why or named[name] then return end
  for _, text in ipairs({ 'ACL failure', 'NOPERM', 'user executing the script', 'nknown' }) do
    if string.find(why, text, 1, true) then
      named[name] = true
      refused[#refused + 1] = name
      return
    end
  end
end
local meta, log, uid = KEYS[2], KEYS[3], KEYS[4]
for i = 1, 6 do
  try('EXISTS', KEYS[i])
  if i > 1 then try('PEXPIRE', KEYS[i], 1) end
end
try('HSET', meta, 'e', 0)
try('HINCRBY', meta, 'w', 0)
try('HGET', meta, 'e')
try('HMGET', meta, 'e', 's')
try('HLEN', meta)
try('HGETALL', meta)
try('HKEYS', meta)
try('HEXISTS', meta, 'e')
try('HDEL', meta, 'e', 'w')
try('DEL', meta)
try('XADD', log, 'NOMKSTREAM', '1-0', 'd', 0)
try('XRANGE', log, '-', '+', 'COUNT', 1)
try('XTRIM', log, 'MAXLEN', 0)
try('GET', uid)
try('SET', uid, 0, 'XX')
for i = 7, 9 do try('PUBLISH', KEYS[i], '') end
try('TIME')
try('INFO', 'replication')
return refused
`,
  9,
);

/** The channels of a room and a node that do not exist. */
export const channelsOf = (keys: Keys, nobody: string): string[] => [
  keys.channel(nobody),
  keys.board(nobody),
  keys.tick(nobody),
];

/** The keys for `RIGHTS`. */
export const keysOf = (keys: Keys, nobody: string): string[] => [
  keys.term,
  keys.meta(nobody),
  keys.log(nobody),
  keys.uid(nobody, nobody),
  keys.presence(nobody),
  keys.node(nobody),
  ...channelsOf(keys, nobody),
];
