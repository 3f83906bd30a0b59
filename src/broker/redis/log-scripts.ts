/**
 * What Redis reads for us of the log of a room, and lets go of. V20: an entry behind the room's number is of a
 * publish that failed half-way; it is no message, and nobody is given it.
 *
 * Not here: what writes the log (`scripts.ts`), what is made of it (`topic.ts`, `past.ts`).
 */
import { CHECK_TERM, script } from './scripts.js';

/**
 * KEYS: term, meta, log. ARGV: term, the number after which is read, most bytes.
 * Answers {epoch, seq, closed epochs, whether there is more, messages…}; an epoch of '' where the room is
 * unknown.
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
 * What members are given of a log: the present epoch, not purged, and within the bounds of who reads.
 *
 * KEYS: term, meta, log. ARGV: term, first and last number asked for, most messages, most bytes of their
 * data, messages of the room that are given, ms that one is.
 * Answers {epoch, seq, oldest, messages…}; an epoch of '' where the room is unknown. The messages
 * may begin before what was asked for, and end behind it, by less than a commit.
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
  -- With what a message has beside its data, mostly.
  bytes = bytes + #message
  if count >= tonumber(ARGV[4]) or bytes > tonumber(ARGV[5]) + 256 * count then break end
  from = tonumber(last) + 1
end
return answer
`,
  3,
);

/**
 * KEYS: term, meta, log. ARGV: term, the number up to which members are given nothing any more.
 * Commits that lie before it are let go of.
 */
export const PURGE = script(
  `
${CHECK_TERM}
local m = redis.call('HMGET', KEYS[2], 's', 'p')
if not m[1] then return 0 end
local through = math.min(tonumber(ARGV[2]), tonumber(m[1]))
if through <= (tonumber(m[2]) or 0) then return 0 end
-- First what gives memory back: a Redis that is full would refuse the other before it.
redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f', through + 1))
redis.call('HSET', KEYS[2], 'p', string.format('%.0f', through))
return 1
`,
  3,
);
