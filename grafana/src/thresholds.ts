/**
 * Thresholds, used by the alert rules and drawn in the panels, so that the line in a graph is where the
 * alert fires. `grafana/README.md` explains each value.
 */
export const THRESHOLDS = {
  /**
   * Seconds. Must be well below `lagAfterMs` (250 ms): a member whose batch takes longer no longer
   * counts as healthy, so beyond that only a blocked event loop would show.
   */
  healthyP99Seconds: 0.1,
  lockHoldP99Seconds: 0.005,
  /** Seconds of waiting per second. Several tasks may wait at once, so it can exceed 1. */
  lockBlocked: 0.5,
  queueMemoryRatio: 0.8,
  slowMemberRatio: 0.05,
  /** Members evicted per second, as a ratio of the connected members. */
  evictionRatio: 0.001,
  /** Dropped messages, as a ratio of the messages fanned out. */
  dropRatio: 0.01,
  eventLoopLagP99Seconds: 0.1,
  /** Connections opened and closed per second, as a ratio of the connected members. */
  churnRatio: 0.1,
  /** Minimum counts below which a ratio does not alert: slow members, and events per second. */
  fewSlowMembers: 4,
  fewEvictions: 0.01,
  fewConnections: 1,
  /** Process starts in 15 minutes, not counting the first. */
  restarts: 2,
  /** Open file descriptors, as a ratio of the limit. */
  descriptorRatio: 0.8,
  /** Members and rooms, as a ratio of their limits. */
  fullRatio: 0.8,
  /** History memory, as a ratio of its limit. */
  historyMemoryRatio: 0.9,
  /** Joins with a position whose history was partly expired, as a ratio. */
  partialRatio: 0.05,
  /** Invalid tokens, as a ratio of all tokens; and the rate per second below which it does not alert. */
  invalidTokenRatio: 0.1,
  fewInvalidTokens: 0.2,
  /**
   * Connections closed per second because their token expired, as a ratio of the members; and the rate
   * below which it does not alert.
   */
  expiryRatio: 0.001,
  fewExpiries: 0.05,
  /** Seconds for the round trip through the broker. */
  brokerLagSeconds: 1,
  /** Unconfirmed messages, as a ratio of the limit. */
  brokerBacklogRatio: 0.5,
  /** Workers replaced in 15 minutes. */
  workerRestarts: 2,
  /** Half the capacity of one link between workers, in bytes. */
  meshQueueBytes: 4_194_304,
} as const;
