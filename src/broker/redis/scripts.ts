/**
 * What Redis carries out for us, each script in one step: nobody sees half of it.
 *
 * V20: an (epoch, seq) of a room names one publication for ever. Every script first compares the term
 * of the connection with the one stored (`hello`): another primary, or one that was restarted, has
 * another, and what met another term closes the epoch and goes on counting. Whatever a script writes
 * it writes in an order that a failure leaves nothing counted: Redis does not roll back. What needs
 * memory comes first, since Redis looks for memory only before the first write of a script.
 *
 * A room's meta: `e` epoch, `s` number, `t` term, `h` closed epochs (`epoch:last`, joined by `,`),
 * `n:<node>` the node's last commit (`number first last epoch at`), `w` bytes ever written to a log that is
 * bounded in bytes, `p` the number up to which it was purged. An entry of a log has the message as `d`, and as
 * `o` the `w` behind it.
 */
import { createHash } from 'node:crypto';

export interface Script {
  readonly text: string;
  readonly sha: string;
  readonly keys: number | 'all';
}

export const script = (text: string, keys: Script['keys']): Script => {
  const trimmed = text.trim();
  return { text: trimmed, sha: createHash('sha1').update(trimmed).digest('hex'), keys };
};

/** The error by which a script says that the server is not the one we greeted. */
export const TERM_ENDED = 'TERM';

export const CHECK_TERM = `
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return redis.error_reply('${TERM_ENDED} this server is in another term')
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
`;

/** How many closed epochs of a room, and how many nodes' last commits, are remembered. */
const CLOSED_EPOCHS = 4;
const NODES_KEPT = 16;

/**
 * Where the room is in the present term: e, s, was (the end of the epoch that is closed by that, or '-'),
 * h, and whether that has to be written. Where nothing was known of it, a log has outlived its meta and
 * is to be deleted first.
 */
const ENTER = `
local function enter(meta, fresh)
  local m = redis.call('HMGET', meta, 'e', 's', 't', 'h')
  if not m[1] then return fresh, 0, '-', '', true end
  if m[3] == ARGV[1] then return m[1], tonumber(m[2]), '-', m[4] or '', false end
  local was = m[1] .. ':' .. m[2]
  local closed = { was }
  for past in string.gmatch(m[4] or '', '[^,]+') do
    if #closed < ${CLOSED_EPOCHS} then closed[#closed + 1] = past end
  end
  return fresh, tonumber(m[2]), was, table.concat(closed, ','), true
end
`;

/**
 * Writes, and answers with the error of a primary that goes on but takes no more now: without memory,
 * replicas or a disk. Any other error is that of the script.
 */
const WRITE = `
local function write(...)
  local done = redis.pcall(...)
  if type(done) ~= 'table' or not done.err then return nil end
  for _, code in ipairs({ 'OOM', 'NOREPLICAS', 'MISCONF' }) do
    if string.find(done.err, code, 1, true) then return done.err end
  end
  return error(done.err)
end
`;

/**
 * KEYS: term. ARGV: run id of the server, a fresh id.
 * Answers the id of the term.
 */
export const HELLO = script(
  `
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'id', ARGV[2])
end
return redis.call('HGET', KEYS[1], 'id')
`,
  1,
);

/** Most commits that a publish lets go of since they are too old, too many or too large together. */
const LET_GO = 256;

/**
 * KEYS: term, meta, log, channel, uid. ARGV: term, fresh epoch, not after (ms by the clock of Redis),
 * node, number of the commit, count, messages kept, ms they are kept, bytes of them ('0': as many as they
 * have; then the log may have a few more than its messages, which no member is given), ms a room is
 * remembered, ms a uid is ('0' without one), records.
 * Answers {now, first, last, epoch, at}, or {now} where it is too late: then nothing has happened.
 */
export const PUBLISH = script(
  `
${CHECK_TERM}
${ENTER}
local mine = 'n:' .. ARGV[4]
local before = redis.call('HGET', KEYS[2], mine)
if before then
  local no, first, last, epoch, at = string.match(before, '^(%d+) (%d+) (%d+) (%S+) (%d+)$')
  if tonumber(no) >= tonumber(ARGV[5]) then return { now, first, last, epoch, at } end
end
if ARGV[11] ~= '0' then
  local known = redis.call('GET', KEYS[5])
  if known then
    local seq, epoch, at = string.match(known, '^(%d+) (%S+) (%d+)$')
    return { now, seq, seq, epoch, at }
  end
end
if now > tonumber(ARGV[3]) then return { now } end
local e, s, was, h, isNew = enter(KEYS[2], ARGV[2])
if isNew and was == '-' and redis.call('EXISTS', KEYS[3]) == 1 then redis.call('DEL', KEYS[3]) end
local first, last = s + 1, s + tonumber(ARGV[6])
local f, l, at = string.format('%.0f', first), string.format('%.0f', last), string.format('%.0f', now)
local message = f .. ' ' .. l .. ' ' .. e .. ' ' .. at .. ' ' .. was .. '\\n' .. ARGV[12]
local keep, bytes = tonumber(ARGV[7]), tonumber(ARGV[9])
if bytes > 0 then
  local written = redis.call('HINCRBY', KEYS[2], 'w', #message)
  redis.call('XADD', KEYS[3], l .. '-0', 'd', message, 'o', string.format('%.0f', written))
  local through
  for _ = 1, ${LET_GO} do
    local id = through and string.format('%.0f', through + 1) or '-'
    local entry = redis.call('XRANGE', KEYS[3], id, '+', 'COUNT', 1)[1]
    local number = tonumber(string.match(entry[1], '^(%d+)'))
    local old = entry[2][2]
    local behind = written - (tonumber(entry[2][4]) or written)
    local since = tonumber(string.match(old, '^%d+ %d+ %S+ (%d+)'))
    local isYoung = since > now - tonumber(ARGV[8])
    local mayStay = number > last - keep and isYoung and #old + behind <= bytes
    if number >= last or mayStay then break end
    through = number
  end
  if through then
    redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f', through + 1))
  end
elseif keep > 0 then
  local oldest = string.format('%.0f', math.max(0, last - keep))
  redis.call('XADD', KEYS[3], 'MINID', '~', oldest, l .. '-0', 'd', message)
end
if keep > 0 then redis.call('PEXPIRE', KEYS[3], ARGV[8]) end
local done = ARGV[5] .. ' ' .. f .. ' ' .. l .. ' ' .. e .. ' ' .. at
if isNew then
  redis.call('HSET', KEYS[2], 'e', e, 's', l, 't', ARGV[1], 'h', h, mine, done)
else
  redis.call('HSET', KEYS[2], 's', l, mine, done)
end
if not before and redis.call('HLEN', KEYS[2]) > 6 + ${NODES_KEPT} then
  local all = redis.call('HGETALL', KEYS[2])
  local eldest, when
  for i = 1, #all, 2 do
    local time = string.sub(all[i], 1, 2) == 'n:' and tonumber(string.match(all[i + 1], '(%d+)$'))
    if time and all[i] ~= mine and (not when or time < when) then eldest, when = all[i], time end
  end
  if eldest then redis.call('HDEL', KEYS[2], eldest) end
end
redis.call('PEXPIRE', KEYS[2], ARGV[10])
if ARGV[11] ~= '0' then redis.call('SET', KEYS[5], f .. ' ' .. e .. ' ' .. at, 'PX', ARGV[11]) end
redis.call('PUBLISH', KEYS[4], message)
return { now, f, l, e, at }
`,
  5,
);

/**
 * KEYS: term, then meta, log and channel of each room. ARGV: term, fresh epoch, ms a room is
 * remembered, then what the node knows of each room (`epoch:seq`, or '' where it knows nothing).
 * Answers, for each room of which that is not all, {its place among the rooms, epoch, seq, closed
 * epochs}; of one that cannot be entered now, {its place, '', why}. A room whose epoch is closed here is
 * told to everybody.
 */
export const OPEN = script(
  `
${CHECK_TERM}
${ENTER}
${WRITE}
local differing = {}
for i = 1, (#KEYS - 1) / 3 do
  local meta, log, channel = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local e, s, was, h, isNew = enter(meta, ARGV[2])
  local seq = string.format('%.0f', s)
  local failed
  if isNew then
    failed = write('HSET', meta, 'e', e, 's', seq, 't', ARGV[1], 'h', h)
    if not failed and was == '-' then redis.call('DEL', log) end
    if not failed and was ~= '-' then
      local at = string.format('%.0f', now)
      local head = string.format('%.0f', s + 1) .. ' ' .. seq .. ' ' .. e .. ' ' .. at .. ' ' .. was
      redis.call('PUBLISH', channel, head .. '\\n')
    end
  end
  if failed then differing[#differing + 1] = { i, '', failed }
  else
    write('PEXPIRE', meta, ARGV[3])
    if ARGV[3 + i] ~= e .. ':' .. seq then differing[#differing + 1] = { i, e, seq, h } end
  end
end
return differing
`,
  'all',
);

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
  local entries = redis.call('XRANGE', KEYS[3], string.format('%.0f', from), '+', 'COUNT', 16)
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
  return redis.call('XRANGE', KEYS[3], string.format('%.0f', number), '+', 'COUNT', 1)[1]
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

/**
 * KEYS: term, lease of the node, channel of its ticks. ARGV: term, what the lease says, ms it lasts,
 * number of the tick.
 * Answers the time of Redis. The lease is a write, so that a replica refuses it; a primary that is full
 * is one all the same.
 */
export const BEAT = script(
  `
${CHECK_TERM}
${WRITE}
write('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', KEYS[3], ARGV[4])
return string.format('%.0f', now)
`,
  3,
);
