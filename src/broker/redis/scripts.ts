/**
 * What Redis carries out for us, each script in one step: nobody sees half of it.
 *
 * V20: an (epoch, seq) of a room names one publication for ever. Every script first compares the term
 * of the connection with the one stored (`hello`): another primary, or one that was restarted, has
 * another, and what met another term closes the epoch and goes on counting. What gives out numbers also
 * looks whether the server has lost its reign and got it back, in which it may have the same term, and fewer
 * numbers. Whatever a script writes it writes in an order that a failure leaves nothing counted: Redis does
 * not roll back. What needs memory comes first, since Redis looks for memory only before the first write of a script.
 *
 * The term: `id`, `run` of the server that it was greeted as, `by` its promotion, `c` when that was compared last.
 * A room's meta: `e` epoch, `s` number, `t` term, `h` closed epochs (`epoch:last`, joined by `,`),
 * `n:<node>` the node's last commit (`number first last epoch at`), `w` bytes ever written to a log that is
 * bounded in bytes, `p` the number up to which it was purged, `x` when its log is forgotten (ms). An entry of a
 * log has the message as `d`, and as `o` the `w` behind it.
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

const NOW = `
local clock = redis.call('TIME')
local at = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now = tonumber(at)
`;

const OTHER_TERM = `return redis.error_reply('${TERM_ENDED} this server is in another term')`;

export const CHECK_TERM = `
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then ${OTHER_TERM} end
${NOW}
`;

/** How many closed epochs of a room, and how many nodes' last commits, are remembered. */
const CLOSED_EPOCHS = 4;
const NODES_KEPT = 16;
/** And how many in any case: more never publish to one room within the time in which one may come again. */
const MOST_NODES_KEPT = 1024;

/**
 * Where the room is in the present term: e, s, was (the end of the epoch that is closed by that, or '-'),
 * h, and whether that has to be written. Where nothing was known of it, a log has outlived its meta and
 * is to be deleted first. `m`: its e, s, t and h. `known`: what whoever asks has of it; where that is further in
 * the same epoch, Redis has lost what it had, and the epoch is closed all the same.
 */
const ENTER = `
local function enter(m, fresh, known)
  if not m[1] then return fresh, 0, '-', '', true end
  local epoch, seq = string.match(known or '', '^(.*):(%d+)$')
  local isBehind = epoch == m[1] and tonumber(seq) > tonumber(m[2])
  if m[3] == ARGV[1] and not isBehind then return m[1], tonumber(m[2]), '-', m[4] or '', false end
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
 * What a server that was promoted has of the primary before it; nothing where it never was. One that is demoted and
 * promoted again keeps its run id and gets back the term that others have stored, but not this.
 */
const PROMOTION = `
local function promotion()
  local before = string.match(redis.call('INFO', 'replication'), 'master_replid2:(%x+)')
  return before and string.find(before, '[^0]') and before or nil
end
`;

/** Connections outlive a demotion, a sync and a promotion, behind which the server has lost its last numbers. */
const CHECK_REIGN = `
local promoted = promotion()
if promoted and promoted ~= redis.call('HGET', KEYS[1], 'by') then
  return redis.error_reply('${TERM_ENDED} this server was demoted and promoted')
end
`;

/**
 * KEYS: term. ARGV: run id of the server, a fresh id.
 * Answers the id of the term.
 */
export const HELLO = script(
  `
${PROMOTION}
local promoted = promotion()
local known = redis.call('HMGET', KEYS[1], 'run', 'by')
if known[1] ~= ARGV[1] or (promoted and promoted ~= known[2]) then
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'id', ARGV[2], 'by', promoted or '')
end
return redis.call('HGET', KEYS[1], 'id')
`,
  1,
);

/** Most commits that a publish lets go of since they are too old, too many or too large together. */
const LET_GO = 256;
/** A log that is bounded by messages alone is cut once in so many of them. */
const CUT_EVERY = 16;

/**
 * KEYS: term, meta, log, channel, and uid where there is one. ARGV: term, fresh epoch, not after (ms by the clock
 * of Redis), field of the node's last commit, number of the commit, count, records, messages kept, ms they are
 * kept, bytes of them ('0': as many as they have; then the log may have a few more than its messages, which no
 * member is given), ms a room is remembered, ms within which a commit may come again, ms a uid is.
 * Answers 'now first last epoch', or 'now' where it is too late: then nothing has happened.
 *
 * It is the price of a message: a call costs Redis as much as all that it does, so what is read is read at
 * once, and the log and the meta stay a sixteenth longer than they have to, so that they are given more time only
 * once that is used up (`x`).
 */
export const PUBLISH = script(
  `
${NOW}
local term = redis.call('HMGET', KEYS[1], 'id', 'c')
if term[1] ~= ARGV[1] then ${OTHER_TERM} end
-- Within a millisecond nobody gives up a reign and has it back; each time it would cost a quarter of the rest.
local isChecked = term[2] == at
if not isChecked then
${PROMOTION}
${CHECK_REIGN}
end
local m = redis.call('HMGET', KEYS[2], 'e', 's', 't', 'h', 'x', ARGV[4])
local before = m[6]
if before and tonumber(string.match(before, '^%d+')) >= tonumber(ARGV[5]) then
  return at .. string.match(before, ' %d+ %d+ %S+')
end
local known = KEYS[5] and redis.call('GET', KEYS[5])
if known then
  local seq, epoch = string.match(known, '^(%d+) (%S+)')
  return at .. ' ' .. seq .. ' ' .. seq .. ' ' .. epoch
end
if now > tonumber(ARGV[3]) then return at end
local e, s, was, h, isNew = m[1], tonumber(m[2]), '-', m[4], false
if not m[1] or m[3] ~= ARGV[1] then
  ${ENTER}
  e, s, was, h, isNew = enter(m, ARGV[2])
  if was == '-' and redis.call('EXISTS', KEYS[3]) == 1 then redis.call('DEL', KEYS[3]) end
end
local count = tonumber(ARGV[6])
local last = s + count
local l = string.format('%.0f', last)
local head = (count == 1 and l or string.format('%.0f', s + 1)) .. ' ' .. l .. ' ' .. e
local message = head .. ' ' .. at .. ' ' .. was .. '\\n' .. ARGV[7]
local keep, ms, bytes = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
-- How much longer than it has to the log stays. What another node has set by other options is set anew.
local idle = tonumber(ARGV[11])
local spare, most = tonumber(m[5] or 0) - now - ms, math.floor(math.min(ms, idle) / 16)
local isUsedUp = spare <= 0 or spare > most
local id, written, added = l .. '-0', 0, nil
if bytes > 0 then
  written = redis.call('HINCRBY', KEYS[2], 'w', #message)
  added = redis.pcall('XADD', KEYS[3], id, 'd', message, 'o', string.format('%.0f', written))
elseif keep > 0 and last % ${CUT_EVERY} < count then
  local oldest = string.format('%.0f', math.max(0, last - keep))
  added = redis.pcall('XADD', KEYS[3], 'MINID', '~', oldest, id, 'd', message)
elseif keep > 0 then
  added = redis.pcall('XADD', KEYS[3], id, 'd', message)
end
if type(added) == 'table' and string.find(added.err, 'equal or smaller', 1, true) then
  -- It is further than the room, of a publish that failed behind it: what it has too much never was.
  redis.call('DEL', KEYS[3])
  isUsedUp = true
  added = redis.pcall('XADD', KEYS[3], id, 'd', message)
end
if type(added) == 'table' then return added end
if bytes > 0 then
  local through
  for _ = 1, ${LET_GO} do
    local id = through and string.format('%.0f', through + 1) or '-'
    local entry = redis.call('XRANGE', KEYS[3], id, '+', 'COUNT', 1)[1]
    local number = tonumber(string.match(entry[1], '^(%d+)'))
    local old = entry[2][2]
    local behind = written - (tonumber(entry[2][4]) or written)
    local since = tonumber(string.match(old, '^%d+ %d+ %S+ (%d+)'))
    local isYoung = since > now - ms
    local mayStay = number > last - keep and isYoung and #old + behind <= bytes
    if number >= last or mayStay then break end
    through = number
  end
  if through then
    redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f', through + 1))
  end
end
if not isChecked then redis.call('HSET', KEYS[1], 'c', at) end
local done = ARGV[5] .. ' ' .. head .. ' ' .. at
if isNew then
  redis.call('HSET', KEYS[2], 'e', e, 's', l, 't', ARGV[1], 'h', h, ARGV[4], done)
else
  redis.call('HSET', KEYS[2], 's', l, ARGV[4], done)
end
if isUsedUp then
  if keep > 0 then
    redis.call('PEXPIRE', KEYS[3], ms + most)
    redis.call('HSET', KEYS[2], 'x', string.format('%.0f', now + ms + most))
  end
  redis.call('PEXPIRE', KEYS[2], idle + math.floor(idle / 16))
end
if not before and redis.call('HLEN', KEYS[2]) > 7 + ${NODES_KEPT} then
  local all = redis.call('HGETALL', KEYS[2])
  local others = {}
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'n:' and all[i] ~= ARGV[4] then
      others[#others + 1] = { all[i], tonumber(string.match(all[i + 1], '(%d+)$')) }
    end
  end
  table.sort(others, function(a, b) return a[2] < b[2] end)
  local limit = now - tonumber(ARGV[12])
  for i = 1, #others - ${NODES_KEPT - 1} do
    if others[i][2] >= limit and #others - i < ${MOST_NODES_KEPT} then break end
    redis.call('HDEL', KEYS[2], others[i][1])
  end
end
if KEYS[5] then redis.call('SET', KEYS[5], l .. ' ' .. e .. ' ' .. at, 'PX', ARGV[13]) end
redis.call('PUBLISH', KEYS[4], message)
return at .. ' ' .. head
`,
  'all',
);

/**
 * Whether rooms are where a node knows them to be: the first look, and mostly the last.
 *
 * KEYS: term, then the meta of each. ARGV: term, ms a room is remembered, then what the node knows of each (`epoch:seq`).
 * Answers the places of those that `OPEN` has to be asked for.
 */
export const LOOK = script(
  `
${CHECK_TERM}
local longer = string.format('%.0f', math.floor(ARGV[2] * 17 / 16))
local differing = {}
for i = 2, #KEYS do
  local meta = KEYS[i]
  local m = redis.call('HMGET', meta, 't', 'e', 's')
  local isSame = m[1] == ARGV[1] and m[2] and m[3] and m[2] .. ':' .. m[3] == ARGV[i + 1]
  local done = isSame and redis.pcall('PEXPIRE', meta, longer)
  if not isSame or type(done) == 'table' then differing[#differing + 1] = i - 1 end
end
return differing
`,
  'all',
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
-- As long as a publish has it, which may leave it as it is for that.
local longer = string.format('%.0f', math.floor(ARGV[3] * 17 / 16))
for i = 1, (#KEYS - 1) / 3 do
  local meta, log, channel = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local e, s, was, h, isNew = enter(redis.call('HMGET', meta, 'e', 's', 't', 'h'), ARGV[2], ARGV[3 + i])
  local seq = string.format('%.0f', s)
  local failed
  if isNew then
    failed = write('HSET', meta, 'e', e, 's', seq, 't', ARGV[1], 'h', h)
    if not failed and was == '-' then redis.call('DEL', log) end
    if not failed and was ~= '-' then
      local head = string.format('%.0f', s + 1) .. ' ' .. seq .. ' ' .. e .. ' ' .. at .. ' ' .. was
      redis.call('PUBLISH', channel, head .. '\\n')
    end
  end
  if failed then differing[#differing + 1] = { i, '', failed }
  else
    write('PEXPIRE', meta, longer)
    if ARGV[3 + i] ~= e .. ':' .. seq then differing[#differing + 1] = { i, e, seq, h } end
  end
end
return differing
`,
  'all',
);

/** How long a node that is no longer heard, and has not said that it closes, is known as missing. */
export const NODE_REMEMBERED_MS = 600_000;

/**
 * KEYS: term, lease of the node, channel of its ticks, nodes. ARGV: term, what the node says of itself, ms the lease
 * lasts, number of the tick, node.
 * Answers the time of Redis, and 1 where the lease had lapsed and is there again. The lease is a write, so that a
 * replica refuses it; a primary that is full is one all the same.
 */
export const BEAT = script(
  `
${CHECK_TERM}
${PROMOTION}
${CHECK_REIGN}
${WRITE}
local hadLapsed = redis.call('EXISTS', KEYS[2]) == 0
local failed = write('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  or write('HSET', KEYS[4], ARGV[5], string.format('%.0f', now) .. ' ' .. ARGV[2])
if not failed then redis.call('PEXPIRE', KEYS[4], ${NODE_REMEMBERED_MS}) end
redis.call('PUBLISH', KEYS[3], ARGV[4])
return { string.format('%.0f', now), hadLapsed and not failed and 1 or 0 }
`,
  4,
);
