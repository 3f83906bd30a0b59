/**
 * What is too much: read by the alert rules and drawn in the panels, so that a line on a graph is
 * where an alert begins. `grafana/README.md` says where each number comes from.
 */
export const THRESHOLDS = {
  /**
   * Seconds. A member that needs longer than `lagAfterMs` (250 ms) for a batch is no longer healthy,
   * so that beyond it only a blocked event loop shows: the alert has to stand well below.
   */
  healthyP99Seconds: 0.1,
  lockHoldP99Seconds: 0.005,
  /** Seconds that others lose in a second: several may wait, so that 1 is no upper bound. */
  lockBlocked: 0.5,
  queueMemoryRatio: 0.8,
  slowMemberRatio: 0.05,
  /** Members evicted a second, of those connected. */
  evictionRatio: 0.001,
  /** Messages dropped, of those fanned out. */
  dropRatio: 0.01,
  eventLoopLagP99Seconds: 0.1,
  /** Connections opened and closed a second, of those connected. */
  churnRatio: 0.1,
  /** Ratios of fewer than these say nothing: members that are slow, and events a second. */
  fewSlowMembers: 4,
  fewEvictions: 0.01,
  fewConnections: 1,
  /** Starts of the process in 15 minutes, the first not counted. */
  restarts: 2,
  /** Open descriptors, of those the process may have. */
  descriptorRatio: 0.8,
  /** Members and rooms, of those there may be. */
  fullRatio: 0.8,
  /** Memory of history, of what it may have. */
  historyMemoryRatio: 0.9,
  /** Joins with a position for which not all was kept. */
  partialRatio: 0.05,
  /** Tokens that are not ours, of those that came; and how many a second say nothing yet. */
  invalidTokenRatio: 0.1,
  fewInvalidTokens: 0.2,
  /** Connections closed a second because their token ended, of those connected; and as above. */
  expiryRatio: 0.001,
  fewExpiries: 0.05,
  /** Seconds through the broker and back. */
  brokerLagSeconds: 1,
  /** Of what may wait for the broker. */
  brokerBacklogRatio: 0.5,
  /** Workers that had to be replaced in 15 minutes. */
  workerRestarts: 2,
  /** Half of what one link between workers holds, in bytes. */
  meshQueueBytes: 4_194_304,
} as const;
