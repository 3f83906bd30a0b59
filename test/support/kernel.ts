/** Bytes that the kernel buffers for a connection, where it can be queried. */
import { readFileSync } from 'node:fs';

/**
 * Bytes that the kernel buffers from our port `local` for the peer's port `remote`, also after our side
 * has closed. Null without `/proc/net/tcp` (not Linux).
 */
export function unreadInKernel(local: number, remote: number): number | null {
  let table: string;
  try {
    table = readFileSync('/proc/net/tcp', 'utf8');
  } catch {
    return null;
  }
  const port = (value: number) => `:${value.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of table.split('\n')) {
    const [, here, there, , queues] = line.trim().split(/\s+/);
    if (!here?.endsWith(port(local)) || !there?.endsWith(port(remote))) continue;
    return Number.parseInt(queues?.split(':')[0] ?? '', 16);
  }
  return 0;
}
