/**
 * Scripts that read and purge the log of a room. V20: an entry beyond the room's number belongs to a
 * publish that failed half-way; it is no message and is never returned.
 *
 * Not here: writing the log (`scripts.ts`), processing the entries (`topic.ts`, `past.ts`).
 */
import { CHECK_TERM, script } from './scripts.js';

/**
 * Reads the log after a number.
 *
 * KEYS: term, meta, log. ARGV: term, number after which to read, most bytes.
 * Returns: {epoch, seq, closed epochs, 1 if there is more, messages…}; epoch '' if the room is unknown.
 */
export const READ = script(
  `
${CHECK_TERM}
local m = redis.call('HMGET', KEYS[2], 'e', 's', 'h')
if not m[1] then return { '', '0', '', 0 } end
local answer = { m[1], m[2], m[3] or '', 0 }
local from, bytes = ARGV[2] + 1, 0
while true do
  local entries = redis.call('XRANGE', KEYS[3], string.format('%.0f', from), m[2], 'COUNT', 16)
  if #entries == 0 then return answer end
  for _, entry in ipairs(entries) do
    local message = entry[2][2]
    if bytes > 0 and bytes + #message > tonumber(ARGV[3]) then
      answer[4] = 1
      return answer
    end
    bytes = bytes + #message
    answer[#answer + 1] = message
    from = tonumber(string.match(entry[1], '^(%d+)')) + 1
  end
end
`,
  3,
);

/**
 * Reads history for members: the current epoch, not purged, and within the bounds of the caller's
 * policy.
 *
 * KEYS: term, meta, log. ARGV: term, first and last number requested, most messages, most bytes of
 * their data, messages of the room that members may get, ms that one is kept.
 * Returns: {epoch, seq, oldest, messages…}; epoch '' if the room is unknown. The messages may begin
 * before the requested range and end after it, by less than a commit.
 */
export const PAST = script(
  `
${CHECK_TERM}
local m = redis.call('HMGET', KEYS[2], 'e', 's', 'h', 'p')
if not m[1] then return { '', '0', '1' } end
local s = tonumber(m[2])
local closed = tonumber(string.match(m[3] or '', '^[^,]-:(%d+)')) or 0
local low = math.max(closed, tonumber(m[4]) or 0, s - tonumber(ARGV[6])) + 1
local limit = now - tonumber(ARGV[7])
local function behind(number)
  return redis.call('XRANGE', KEYS[3], string.format('%.0f', number), m[2], 'COUNT', 1)[1]
end
local function isFresh(entry)
  return tonumber(string.match(entry[2][2], '^%d+ %d+ %S+ (%d+)')) > limit
end
local entry = behind(low)
if entry and not isFresh(entry) then
  local high = s + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    entry = behind(middle)
    if entry and not isFresh(entry) then
      low = tonumber(string.match(entry[1], '^(%d+)')) + 1
    else
      high = middle
    end
  end
  entry = behind(low)
end
local oldest = s + 1
if entry then oldest = math.max(low, tonumber(string.match(entry[2][2], '^(%d+)'))) end
local answer = { m[1], m[2], string.format('%.0f', oldest) }
local from, to = math.max(oldest, tonumber(ARGV[2])), tonumber(ARGV[3])
local count, bytes = 0, 0
while entry and from <= to do
  entry = behind(from)
  if not entry then break end
  local message = entry[2][2]
  local first, last = string.match(message, '^(%d+) (%d+)')
  if tonumber(first) > to then break end
  answer[#answer + 1] = message
  count = count + tonumber(last) - math.max(from, tonumber(first)) + 1
  -- Allows for the other fields of a message.
  bytes = bytes + #message
  if count >= tonumber(ARGV[4]) or bytes > tonumber(ARGV[5]) + 256 * count then break end
  from = tonumber(last) + 1
end
return answer
`,
  3,
);

/**
 * Hides the history up to a number from members, and deletes the commits that lie before it.
 *
 * KEYS: term, meta, log. ARGV: term, the number up to which to purge.
 */
export const PURGE = script(
  `
${CHECK_TERM}
local m = redis.call('HMGET', KEYS[2], 's', 'p')
if not m[1] then return 0 end
local through = math.min(tonumber(ARGV[2]), tonumber(m[1]))
if through <= (tonumber(m[2]) or 0) then return 0 end
-- Frees memory first: a full Redis would refuse the HSET if it came before.
redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f', through + 1))
redis.call('HSET', KEYS[2], 'p', string.format('%.0f', through))
return 1
`,
  3,
);
