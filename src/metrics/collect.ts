/**
 * Reads the values of each catalogue file from the parts of a server. It keeps no state.
 *
 * Not here: the handling of a part that cannot be read (`values.ts`).
 */
import type { Authenticator } from '../auth/authenticator.js';
import type { BrokerState } from '../broker/broker.js';
import { EVICTIONS } from '../broker/history.js';
import type { MemoryBroker } from '../broker/memory.js';
import type { RedisBroker } from '../broker/redis/redis.js';
import type { Detector } from '../lock/index.js';
import type { Config } from '../options/config.js';
import { PRESENCE_CHANGES } from '../room/observer.js';
import type { Presence } from '../room/presence.js';
import type { People } from '../session/people.js';
import { BROKER_STATES } from './catalogue/broker.js';
import type { OWNERS, Owner } from './catalogue/index.js';
import type { Gauges, Reading } from './gauges.js';
import { readLocks } from './locks.js';
import { memoryUsage, openFds, type ProcessStats } from './process.js';
import type { Recorder } from './recorder.js';
import type { Values } from './values.js';

/** The parts of a server that metrics are read from. */
export interface Sources {
  readonly recorder: Recorder;
  readonly gauges: Gauges;
  /** The lock detector of this server. */
  readonly detector: Pick<Detector, 'metrics'>;
  readonly config: Pick<Config, 'maxConnections' | 'maxRooms'>;
  readonly hub: {
    readonly replays: { readonly size: number };
    readonly backfills: { readonly size: number };
    readonly presence: Pick<Presence, 'rooms' | 'watchers' | 'lingering'>;
    readonly brokerState: BrokerState;
  };
  /** Null: another broker is in use. */
  readonly brokers: {
    readonly memory: Pick<MemoryBroker, 'kept' | 'keeping'> | null;
    readonly redis: Pick<RedisBroker, 'counts' | 'load'> | null;
  };
  readonly auth: Pick<Authenticator, 'isReady' | 'keysAgeMs' | 'revocations'>;
  readonly people: Pick<People, 'size'>;
}

/** Readings that several collectors share, so that each is taken once. */
export interface Shared {
  readonly reading: Reading;
  readonly stats: ProcessStats;
}

type Collect = {
  readonly [O in Owner]: (
    sources: Sources,
    shared: Shared,
  ) => Record<keyof (typeof OWNERS)[O], Values>;
};

const JOINED = PRESENCE_CHANGES.indexOf('joined');
const LEFT = PRESENCE_CHANGES.indexOf('left');

/** The option value 0 means no limit. */
const limit = (option: number) => option || Number.POSITIVE_INFINITY;

export const COLLECT: Collect = {
  delivery: ({ recorder, gauges }, { reading }) => ({
    published: gauges.mesh?.published ?? recorder.totals.published,
    fannedOut: recorder.totals.fannedOut,
    delivered: recorder.deliverySeconds.total(),
    dropped: recorder.droppedBy,
    abandoned: recorder.totals.abandoned,
    queueMessages: reading.queueMessages,
    queueBytes: reading.queueBytes,
    queueLimitBytes: reading.queueBytesLimit,
    deliverySeconds: recorder.deliverySeconds,
    queueWaitSeconds: recorder.queueWaitSeconds,
    flushSeconds: recorder.flushSeconds,
    memberRttSeconds: recorder.memberRttSeconds,
  }),
  members: ({ config }, { reading }) => ({
    members: reading.membersBy,
    slowMembers: reading.slowMembers,
    membersLagAtMost: reading.lagAtMost,
    topMemberLagSeconds: reading.topLagSeconds,
    topMemberQueueBytes: reading.topQueueBytes,
    rooms: reading.rooms,
    roomsMax: limit(config.maxRooms),
  }),
  connections: ({ recorder, config }) => ({
    opened: recorder.openedBy,
    closed: recorder.closedBy,
    evicted: recorder.evictedBy,
    refused: recorder.refusedBy,
    socketsRefused: recorder.socketsRefusedBy,
    connectionsMax: limit(config.maxConnections),
    sentBytes: recorder.sentBytesBy,
  }),
  history: ({ recorder, hub, brokers: { memory } }) => ({
    historyMessages: memory?.kept.messages ?? 0,
    historyBytes: memory?.kept.bytes ?? 0,
    historyLimitBytes: memory?.keeping.limit ?? 0,
    historyRooms: memory?.keeping.rooms ?? 0,
    historyEvicted: EVICTIONS.map((reason) => memory?.kept.evicted[reason] ?? 0),
    recoveries: recorder.recoveredBy,
    replays: hub.replays.size,
    backfills: hub.backfills.size,
    replayed: recorder.replayedBy,
    replayedBatches: recorder.replayedBatchesBy,
  }),
  identity: ({ recorder, auth, people }) => ({
    authentications: recorder.authenticatedBy,
    authenticationSeconds: recorder.authenticationSeconds,
    tokensExpired: recorder.totals.tokensExpired,
    users: people.size,
    revocations: auth.revocations?.size ?? 0,
    revocationsMax: auth.revocations?.max ?? 0,
    keyFetches: recorder.keysFetchedBy,
    keysAgeSeconds: (auth.keysAgeMs ?? 0) / 1e3,
    keySourcesDown: auth.isReady ? 0 : 1,
    appChecksFailed: recorder.appFailedBy,
  }),
  presence: ({ recorder, hub: { presence } }) => ({
    presenceRooms: presence.rooms,
    // Only these two changes add or remove a user.
    presenceUsers: recorder.presenceChangedBy[JOINED]! - recorder.presenceChangedBy[LEFT]!,
    presenceLingering: presence.lingering,
    presenceWatchers: presence.watchers,
    presenceChanges: recorder.presenceChangedBy,
    presenceFrames: recorder.presenceFramesBy,
    presenceBytes: recorder.totals.presenceBytes,
  }),
  broker: ({ recorder, hub }) => ({
    brokerState: BROKER_STATES.map((state) => (state === hub.brokerState ? 1 : 0)),
    brokerCallSeconds: recorder.brokerCallSeconds,
    brokerUncertain: recorder.totals.brokerUncertain,
    brokerLost: recorder.totals.brokerLost,
    brokerResets: recorder.totals.brokerResets,
  }),
  redis({ brokers: { redis } }) {
    const load = redis?.load;
    return {
      redisLinks: redis?.counts.links ?? 0,
      redisTickLagSeconds: (load?.lagMs ?? 0) / 1e3,
      redisUnsettled: load?.unsettled ?? 0,
      redisUnsettledMax: load?.unsettledMax ?? 0,
      redisUnsettledBytes: load?.unsettledBytes ?? 0,
      redisUnsettledLimitBytes: load?.unsettledLimitBytes ?? 0,
      redisSuspendedRooms: load?.suspendedRooms ?? 0,
      redisBackfilled: redis?.counts.backfilled ?? 0,
      redisDuplicates: redis?.counts.duplicates ?? 0,
      redisUnreadable: redis?.counts.unreadable ?? 0,
    };
  },
  events: ({ recorder }) => ({
    listenerErrors: recorder.listenerErrorsBy,
    survivedErrors: recorder.survivedErrorsBy,
  }),
  locks: ({ detector }) => readLocks(detector.metrics()),
  workers: ({ recorder, gauges: { mesh } }) => ({
    workers: 1,
    workersStale: 0,
    workersMissing: 0,
    workerRestarts: 0,
    surveysMissing: recorder.totals.surveysMissing,
    meshQueueBytes: mesh?.bytes ?? 0,
    meshLost: mesh?.lost ?? 0,
  }),
  process(_, { stats }) {
    const cpu = process.cpuUsage();
    const memory = memoryUsage();
    const lag = stats.eventLoopLag();
    return {
      buildInfo: 1,
      processCpuUserSeconds: cpu.user / 1e6,
      processCpuSystemSeconds: cpu.system / 1e6,
      processCpuSeconds: (cpu.user + cpu.system) / 1e6,
      processStartTimeSeconds: stats.startTime,
      processResidentMemoryBytes: memory.rss,
      processOpenFds: openFds(),
      processMaxFds: stats.maxFds,
      nodejsHeapTotalBytes: memory.heapTotal,
      nodejsHeapUsedBytes: memory.heapUsed,
      nodejsExternalMemoryBytes: memory.external,
      nodejsEventLoopLagP50Seconds: lag.p50,
      nodejsEventLoopLagP99Seconds: lag.p99,
      nodejsEventLoopLagMaxSeconds: lag.max,
      nodejsGcDurationSeconds: stats.gcSeconds,
    };
  },
  // The last one, so that it includes the errors of all others.
  collectors: ({ recorder }) => ({ collectorErrors: recorder.collectorErrorsBy }),
};
