/**
 * Which nodes share their rooms in this Redis. Each leaves what it is with its ticks (`scripts.ts`), and takes it away
 * when it closes; one that ends without a word is remembered as missing for a while. Nothing depends on it: it is for
 * whoever operates them.
 */
import { sleep } from '../../sleep.js';
import type { NodeFacts, SharingNode } from '../sharing-node.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { CHECK_TERM, NODE_REMEMBERED_MS, script } from './scripts.js';

/** How long an answer to that is waited for. */
const LEAVE_MS = 500;

/**
 * KEYS: term, nodes. ARGV: term.
 * Answers {node, ms since it was heard, what it says} of each.
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

/** KEYS: term, nodes. ARGV: term, node: it closes. */
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

/** Says that it closes, as far as that is possible; others find out. */
export async function leaveNodes(link: Link | null, keys: Keys, node: string): Promise<void> {
  if (link === null) return;
  const over = new AbortController();
  const left = link.run(LEAVE, [keys.term, keys.nodes], [node]).catch(() => {});
  await Promise.race([left, sleep(LEAVE_MS, over.signal)]);
  over.abort();
}
