/**
 * What Redis carries out of who is in rooms, each script in one step. A room's hash has a field for each
 * node and user, `<node><user>` or `<node>` for who is nobody in particular, with JSON, and `v`, which
 * rises by one with each change that is told. It begins at the time, so that a hash that was lost and made again
 * never seems to go on.
 *
 * What a node has is good as long as its lease is (`scripts.ts`); what is left of others goes when it is read.
 */
import { CHECK_TERM, script } from './scripts.js';

/** Characters of the name of a node: the beginning of each of its fields. */
export const NODE_LENGTH = 16;

/**
 * KEYS: term, hash, channel. ARGV: term, node, ms the room is remembered, '1' if it is all that the node
 * has, what is told, then fields and values, '' for one that is gone.
 * Answers `v`. What is told is `<v> <node> <0 or 1> <text>`.
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
 * KEYS: term, then the hash of each room. ARGV: term, what the key of a node's lease begins with, ms a
 * room is remembered.
 * Answers {v, field, value, field, value…} for each room.
 */
export const PRESENT = script(
  `
${CHECK_TERM}
local known = {}
local function lives(node)
  if known[node] == nil then known[node] = redis.call('EXISTS', ARGV[2] .. node) == 1 end
  return known[node]
end
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
    else redis.call('HDEL', KEYS[i], field) end
  end
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
  answer[i - 1] = room
end
return answer
`,
  'all',
);

/**
 * KEYS: term, then the lease of each node. ARGV: term.
 * Answers 1 or 0 for each.
 */
export const ALIVE = script(
  `
${CHECK_TERM}
local answer = {}
for i = 2, #KEYS do answer[i - 1] = redis.call('EXISTS', KEYS[i]) end
return answer
`,
  'all',
);

/**
 * KEYS: term, then the hash of each room. ARGV: term, ms a room is remembered, then `v` as it is known of each.
 * Answers the places of those that have another.
 */
export const CHANGED = script(
  `
${CHECK_TERM}
local answer = {}
for i = 2, #KEYS do
  if redis.call('HGET', KEYS[i], 'v') ~= ARGV[i + 1] then answer[#answer + 1] = i - 1 end
  redis.call('PEXPIRE', KEYS[i], ARGV[2])
end
return answer
`,
  'all',
);
