/**
 * Presence scripts that Redis runs for us, each atomically. A room's hash has a field for each node and
 * user, `<node><user>`, or `<node>` for all anonymous members together, with JSON, and `v`, which rises
 * by one with each published change. `v` starts at the current time, so that a recreated hash never
 * looks like a continuation of the lost one.
 *
 * A node's shares are valid as long as its lease is (`scripts.ts`); reading a room deletes expired
 * ones. Reading works on a primary that refuses writes, too.
 */
import { CHECK_TERM, script } from './scripts.js';

/** Characters of a node id, the prefix of each of its fields. */
export const NODE_LENGTH = 16;

/**
 * Writes and publishes a node's shares of a room.
 *
 * KEYS: term, hash, channel. ARGV: term, node, ms the room is remembered, '1' if these are all shares
 * of the node, the text to publish, then fields and values, '' for a removed one.
 * Returns: `v`. It publishes `<v> <node> <0 or 1> <text>`.
 */
export const SHARE = script(
  `
${CHECK_TERM}
if ARGV[4] == '1' then
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    if string.sub(field, 1, ${NODE_LENGTH}) == ARGV[2] then redis.call('HDEL', KEYS[2], field) end
  end
end
if redis.call('HEXISTS', KEYS[2], 'v') == 0 then
  redis.call('HSET', KEYS[2], 'v', string.format('%.0f', now * 1000))
end
for i = 6, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[2], ARGV[i])
  else redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
end
local v = string.format('%.0f', redis.call('HINCRBY', KEYS[2], 'v', 1))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PUBLISH', KEYS[3], v .. ' ' .. ARGV[2] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
return v
`,
  3,
);

/**
 * Reads the presence of rooms.
 *
 * KEYS: term, then the hash of each room. ARGV: term, key prefix of node leases, ms a room is
 * remembered, the node that asks.
 * Returns: {v, field, value, field, value…} for each room.
 */
export const PRESENT = script(
  `
${CHECK_TERM}
local known = {}
local function lives(node)
  if known[node] == nil then known[node] = redis.call('EXISTS', ARGV[2] .. node) == 1 end
  return known[node]
end
-- Redis refuses writes, so that no lease is renewed.
if not lives(ARGV[4]) then lives = function() return true end end
local answer = {}
for i = 2, #KEYS do
  local room = { '0' }
  local all = redis.call('HGETALL', KEYS[i])
  for j = 1, #all, 2 do
    local field, value = all[j], all[j + 1]
    if field == 'v' then room[1] = value
    elseif lives(string.sub(field, 1, ${NODE_LENGTH})) then
      room[#room + 1] = field
      room[#room + 1] = value
    else redis.pcall('HDEL', KEYS[i], field) end
  end
  redis.pcall('PEXPIRE', KEYS[i], ARGV[3])
  answer[i - 1] = room
end
return answer
`,
  'all',
);

/**
 * Checks the leases of nodes.
 *
 * KEYS: term, lease of the node that asks, then the lease of each other node. ARGV: term.
 * Returns: 1 or 0 for each other node; nothing while Redis refuses writes, so that no lease is renewed.
 */
export const ALIVE = script(
  `
${CHECK_TERM}
local answer = {}
if redis.call('EXISTS', KEYS[2]) == 0 then return answer end
for i = 3, #KEYS do answer[i - 2] = redis.call('EXISTS', KEYS[i]) end
return answer
`,
  'all',
);

/**
 * Finds rooms whose presence has changed.
 *
 * KEYS: term, then the hash of each room. ARGV: term, ms a room is remembered, then the known `v` of
 * each.
 * Returns: indexes of the rooms with another `v`.
 */
export const CHANGED = script(
  `
${CHECK_TERM}
local answer = {}
for i = 2, #KEYS do
  if redis.call('HGET', KEYS[i], 'v') ~= ARGV[i + 1] then answer[#answer + 1] = i - 1 end
  redis.pcall('PEXPIRE', KEYS[i], ARGV[2])
end
return answer
`,
  'all',
);
