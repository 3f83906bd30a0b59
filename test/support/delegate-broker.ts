/** A memory broker whose answers a test can override. */
import type {
  Broker,
  BrokerState,
  MaybePromise,
  Payload,
  Position,
  PublishOptions,
} from '../../src/broker/broker.js';
import { MemoryBroker } from '../../src/broker/memory.js';

export class DelegateBroker implements Broker {
  readonly memory = new MemoryBroker();
  onDeliver: Broker['onDeliver'] = (deliver) => this.memory.onDeliver(deliver);
  onReset: Broker['onReset'] = (reset) => this.memory.onReset(reset);
  onLost: Broker['onLost'] = (lost) => this.memory.onLost(lost);
  onState: Broker['onState'] = () => this.memory.onState();
  state(): BrokerState {
    return this.memory.state();
  }
  publish(room: string, payload: Payload, options: PublishOptions): MaybePromise<Position> {
    return this.memory.publish(room, payload, options);
  }
  subscribe(room: string, _signal: AbortSignal): MaybePromise<Position> {
    return this.memory.subscribe(room);
  }
  unsubscribe(room: string): MaybePromise<void> {
    this.memory.unsubscribe(room);
  }
  close(): MaybePromise<void> {
    this.memory.close();
  }
}
