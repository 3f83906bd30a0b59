/**
 * What happens to a member that does not keep up, by namespace: the part of a room's name before
 * the first `:`, `default` without one or without a policy of its own.
 */

export type OverflowPolicy = 'drop-oldest' | 'drop-newest' | 'latest-by-key' | 'disconnect';

export interface QueuePolicy {
  readonly policy: OverflowPolicy;
  /** Most messages a member may have queued. */
  readonly queueMessages: number;
  /** Most bytes a member may have queued. */
  readonly queueBytes: number;
  /** How long a member may be over its bound before `disconnect` ends it. */
  readonly disconnectGraceMs: number;
  /** Age of the oldest undelivered message from which a member is `lagging`. */
  readonly lagAfterMs: number;
  /** How long the queue has to stay under half before the member is `healthy` again. */
  readonly recoverAfterMs: number;
  /** How long nothing may be read before the member is evicted. */
  readonly stallAfterMs: number;
}

/** Policies by namespace; always has `default`. */
export type Policies = ReadonlyMap<string, QueuePolicy>;

export function policyOf(room: string, policies: Policies): QueuePolicy {
  const colon = room.indexOf(':');
  const own = colon > 0 ? policies.get(room.slice(0, colon)) : undefined;
  return own ?? (policies.get('default') as QueuePolicy);
}
