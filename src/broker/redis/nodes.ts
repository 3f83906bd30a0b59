/**
 * Lists the nodes that share this Redis, for operators; nothing depends on it. Each node reports itself
 * with its heartbeats (`scripts.ts`) and removes itself when it closes. A node that dies is listed as
 * missing for a while.
 */
import { sleep } from '../../sleep.js';
import type { NodeFacts, SharingNode } from '../sharing-node.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { CHECK_TERM, NODE_REMEMBERED_MS, script } from './scripts.js';

/** Timeout of `leaveNodes`, in milliseconds. */
const LEAVE_MS = 500;

/**
 * Lists the nodes.
 *
 * KEYS: term, nodes. ARGV: term.
 * Returns: {node, ms since its last heartbeat, what it reported} of each.
 */
export const NODES = script(
  `
${CHECK_TERM}
local answer = {}
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local at, facts = string.match(all[i + 1], '^(%d+) (.*)$')
  if now - at > ${NODE_REMEMBERED_MS} then redis.call('HDEL', KEYS[2], all[i])
  else answer[#answer + 1] = { all[i], string.format('%.0f', now - at), facts } end
end
return answer
`,
  2,
);

/** Removes a node that closes. KEYS: term, nodes. ARGV: term, node. */
export const LEAVE = script(
  `
${CHECK_TERM}
return redis.call('HDEL', KEYS[2], ARGV[2])
`,
  2,
);

export async function readNodes(link: Link, keys: Keys): Promise<SharingNode[]> {
  const reply = await link.run(NODES, [keys.term, keys.nodes], []);
  return (reply as readonly [string, string, string][]).flatMap(([node, heardMs, text]) => {
    const facts = JSON.parse(text) as NodeFacts | null;
    return facts === null ? [] : { ...facts, node, heardMs: Number(heardMs) };
  });
}

/** Removes this node from the list, best effort; others notice anyway. */
export async function leaveNodes(link: Link | null, keys: Keys, node: string): Promise<void> {
  if (link === null) return;
  const over = new AbortController();
  const left = link.run(LEAVE, [keys.term, keys.nodes], [node]).catch(() => {});
  await Promise.race([left, sleep(LEAVE_MS, over.signal)]);
  over.abort();
}
