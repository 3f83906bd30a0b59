/** Groups the nodes that share a network broker by server. */
import { LEASE_MS, type SharingNode } from '../broker/sharing-node.js';
import type { ServerLine } from '../page/frame.js';

export function serversOf(nodes: readonly SharingNode[]): ServerLine[] {
  const servers = new Map<string, SharingNode[]>();
  for (const node of nodes) {
    const key = node.slot === null ? node.node : node.server;
    const all = servers.get(key);
    if (all === undefined) servers.set(key, [node]);
    else all.push(node);
  }
  return [...servers.values()].map(lineOf).sort((a, b) => (a.server < b.server ? -1 : 1));
}

/** A slot counts as missing only if no live worker has it. */
function lineOf(all: readonly SharingNode[]): ServerLine {
  const there = all.filter(({ heardMs }) => heardMs <= LEASE_MS);
  const slots = new Set(there.map(({ slot }) => slot));
  const missing = new Set(all.map(({ slot }) => slot).filter((slot) => !slots.has(slot)));
  const [latest] = all.toSorted((a, b) => a.heardMs - b.heardMs) as [SharingNode];
  return {
    server: latest.server,
    workers: slots.size,
    missing: missing.size,
    members: there.reduce((sum, { members }) => sum + members, 0),
    version: latest.version,
    upMs: there.length === 0 ? null : Math.max(...there.map(({ upMs }) => upMs)),
    heardMs: latest.heardMs,
  };
}
