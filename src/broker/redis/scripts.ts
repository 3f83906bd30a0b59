/**
 * Scripts that Redis runs for us, each atomically.
 *
 * V20: an (epoch, seq) of a room names one publication for ever. Every script first compares the term
 * of the link with the stored one (`HELLO`): another primary, or a restarted one, has another term. A
 * room last written in another term gets a new epoch and continues its numbers. Scripts that assign
 * numbers also check whether the server was demoted and promoted again: then it may have the same term
 * and fewer numbers. Redis does not roll back, so each script orders its writes so that a failure
 * leaves nothing counted. Commands that need memory come first, since Redis checks memory only before
 * the first write of a script.
 *
 * The term hash: `id`, `run` (run id of the server), `by` (see `PROMOTION`), `c` (time of
 * the last promotion check). A room's meta: `e` epoch, `s` number, `t` term, `h` closed epochs
 * (`epoch:last`, joined by `,`), `n:<node>` the node's last commit (`number first last epoch at`), `w`
 * bytes ever written to a log that is bounded in bytes, `p` the number up to which it was purged, `x`
 * when its log expires (ms). A log entry has the message as `d`, and as `o` the value of `w` after it.
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

/** Error code with which a script reports that the server is not in the term of our link. */
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

/** Closed epochs remembered per room, and nodes whose last commit is remembered. */
const CLOSED_EPOCHS = 4;
const NODES_KEPT = 16;
/**
 * Upper bound on remembered nodes: more never publish to one room within the time in which a commit may
 * be resent.
 */
const MOST_NODES_KEPT = 1024;

/**
 * Brings a room into the current term. Returns e, s, was (last position of the epoch closed by this, or
 * '-'), h, and whether these must be written. If Redis has no meta of the room, a leftover log must be
 * deleted first. `m`: its e, s, t and h. `known`: the caller's position; if it is further in the same
 * epoch, Redis has lost data, and the epoch is closed as well.
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
 * Runs a write. Returns the error of a primary that is up but refuses writes now: no memory, no
 * replicas or no disk. Raises any other error.
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
 * Replication id of the previous primary, on a promoted server; nil if it was never promoted. A server
 * that is demoted and promoted again keeps its run id and may restore a term stored earlier, but this
 * id differs.
 */
const PROMOTION = `
local function promotion()
  local before = string.match(redis.call('INFO', 'replication'), 'master_replid2:(%x+)')
  return before and string.find(before, '[^0]') and before or nil
end
`;

/**
 * Connections survive a demotion, a sync and a promotion, in which the server loses its last numbers.
 */
const CHECK_PROMOTION = `
local promoted = promotion()
if promoted and promoted ~= redis.call('HGET', KEYS[1], 'by') then
  return redis.error_reply('${TERM_ENDED} this server was demoted and promoted')
end
`;

/**
 * Starts a new term if the server has restarted or was promoted.
 * KEYS: term. ARGV: run id of the server, a fresh id.
 * Returns: the id of the term.
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

/** Most commits that one publish trims for age, count or size. */
const LET_GO = 256;
/** A log bounded only by messages is trimmed once per this many messages. */
const CUT_EVERY = 16;

/**
 * Publishes one commit.
 * KEYS: term, meta, log, channel, and uid if there is one. ARGV: term, fresh epoch, deadline (ms on the
 * Redis clock), field of the node's last commit, number of the commit, count, records, messages kept,
 * ms they are kept, bytes kept ('0': no bound; the log may then hold a few messages more than its
 * bound, which no member gets), ms a room is remembered, ms within which a commit may be resent, ms a
 * uid is remembered.
 * Returns: 'now first last epoch', or 'now' if it is too late and nothing was done.
 *
 * This script is the cost of a message: Redis charges a call for all that it does. So it reads
 * everything at once, and the expiries of the log and the meta are a sixteenth longer than needed, so
 * that it renews them only once that margin is used up (`x`).
 */
export const PUBLISH = script(
  `
${NOW}
local term = redis.call('HMGET', KEYS[1], 'id', 'c')
if term[1] ~= ARGV[1] then ${OTHER_TERM} end
-- A demotion and promotion take more than a millisecond; checking each time would add a quarter to the
-- cost.
local isChecked = term[2] == at
if not isChecked then
${PROMOTION}
${CHECK_PROMOTION}
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
-- Margin left in the log's expiry. An expiry that another node set with other options is set anew.
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
  -- The log is ahead of the room, from a publish that failed after XADD: the excess entries never
  -- existed.
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
 * Checks whether rooms are still at the positions that a node knows: the first query, and mostly the
 * last.
 * KEYS: term, then the meta of each room. ARGV: term, ms a room is remembered, then the known position
 * of each room (`epoch:seq`).
 * Returns: indexes of the rooms for which `OPEN` is needed.
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
 * Opens rooms: brings each into the current term and reports those that differ from what the node
 * knows. It publishes the closing of an epoch to the room's channel.
 * KEYS: term, then meta, log and channel of each room. ARGV: term, fresh epoch, ms a room is
 * remembered, then the known position of each room (`epoch:seq`, or '' if unknown).
 * Returns: for each room that differs {its index, epoch, seq, closed epochs}; for a room that cannot be
 * opened now {its index, '', reason}.
 */
export const OPEN = script(
  `
${CHECK_TERM}
${ENTER}
${WRITE}
local differing = {}
-- The same expiry as in PUBLISH, which may skip renewing it because of that.
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

/** A node that stopped without closing is listed as missing for this long, in milliseconds. */
export const NODE_REMEMBERED_MS = 600_000;

/**
 * Heartbeat of a node: renews its lease and echoes the number.
 * KEYS: term, lease of the node, channel of its heartbeats, nodes. ARGV: term, what the node reports
 * about itself, ms the lease lasts, number of the heartbeat, node.
 * Returns: the time of Redis, 1 if the lease had expired and is renewed, and the error if writes are
 * refused. The lease is a write, so that a replica refuses it; a primary that is out of memory still
 * counts as one.
 */
export const BEAT = script(
  `
${CHECK_TERM}
${PROMOTION}
${CHECK_PROMOTION}
${WRITE}
local hadLapsed = redis.call('EXISTS', KEYS[2]) == 0
local failed = write('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  or write('HSET', KEYS[4], ARGV[5], string.format('%.0f', now) .. ' ' .. ARGV[2])
if not failed then redis.call('PEXPIRE', KEYS[4], ${NODE_REMEMBERED_MS}) end
redis.call('PUBLISH', KEYS[3], ARGV[4])
return { string.format('%.0f', now), hadLapsed and not failed and 1 or 0, failed or '' }
`,
  4,
);
