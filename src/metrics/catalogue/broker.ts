/** Metrics of what orders messages: whether it can be reached, how long it takes, what it has lost. */
import type { BrokerState } from '../../broker/broker.js';
import { CALLS } from '../../broker/calls.js';
import type { Metric } from './metric.js';

export const BROKER_STATES = ['up', 'suspended', 'down'] as const satisfies readonly BrokerState[];

/** 250 µs, a broker beside us, to 10 s, past its deadline. */
const BROKER_SECONDS = [
  0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

export const broker = {
  brokerState: {
    name: 'roomcast_broker_state',
    type: 'gauge',
    unit: 'brokers',
    labels: { state: BROKER_STATES },
    help: 'Is 1 for the state that the broker is in: suspended while it cannot be reached, down when it is known to be gone.',
  },
  brokerCallSeconds: {
    name: 'roomcast_broker_call_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { call: CALLS },
    buckets: BROKER_SECONDS,
    help: 'Time until the broker answered a call, or the wait for it ended; nothing of calls that it answers at once, as the one in memory does.',
  },
  brokerUncertain: {
    name: 'roomcast_broker_uncertain_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages whose publisher was told that nobody knows whether they were published (broker_uncertain).',
  },
  brokerLost: {
    name: 'roomcast_broker_lost_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages that did not come from the broker to a room that somebody was in, and are no longer to be had, or that came and were let go of since this node does not keep up. Its members are told by a gap with reason broker, or node.',
  },
  brokerResets: {
    name: 'roomcast_broker_resets_total',
    type: 'counter',
    unit: 'resets',
    labels: {},
    help: 'Times that the numbering of a room went on in another epoch while somebody was in it. Its members are told by a reset.',
  },
} as const satisfies Record<string, Metric>;
