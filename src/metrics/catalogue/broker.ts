/** Metrics of the broker: its state, its latency, its losses. */
import type { BrokerState } from '../../broker/broker.js';
import { CALLS } from '../../broker/calls.js';
import type { Metric } from './metric.js';

export const BROKER_STATES = ['up', 'suspended', 'down'] as const satisfies readonly BrokerState[];

/** From 250 µs, a broker on the same machine, to 10 s, beyond its timeout. */
const BROKER_SECONDS = [
  0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

export const broker = {
  brokerState: {
    name: 'roomcast_broker_state',
    type: 'gauge',
    unit: 'brokers',
    labels: { state: BROKER_STATES },
    help: 'Is 1 for the current state of the broker: suspended while it cannot be reached, down when it is known to be gone.',
  },
  brokerCallSeconds: {
    name: 'roomcast_broker_call_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: { call: CALLS },
    buckets: BROKER_SECONDS,
    help: 'Time until the broker answered a call, or the wait for it ended. Calls that the broker answers synchronously, as the memory broker does, are not measured.',
  },
  brokerUncertain: {
    name: 'roomcast_broker_uncertain_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Publishes whose outcome is unknown: the publisher got broker_uncertain.',
  },
  brokerLost: {
    name: 'roomcast_broker_lost_total',
    type: 'counter',
    unit: 'messages',
    labels: {},
    help: 'Messages of rooms with members that the broker did not deliver and can no longer provide, or that this node dropped because it did not keep up. The members get a gap with reason broker or node.',
  },
  brokerResets: {
    name: 'roomcast_broker_resets_total',
    type: 'counter',
    unit: 'resets',
    labels: {},
    help: 'Times that a room with members changed to another epoch. The members get a reset.',
  },
} as const satisfies Record<string, Metric>;
