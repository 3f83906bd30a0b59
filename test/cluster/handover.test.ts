/** Connections on their way to a worker, and how `node:cluster` acknowledges them. */
import type { Worker } from 'node:cluster';
import { EventEmitter } from 'node:events';
import { expect, it, vi } from 'vitest';
import { closeWhatIsNotTaken } from '../../src/cluster/handover.js';

let seq = 0;

/** A fake worker with the messages of `node:cluster`. */
function worker() {
  const process = Object.assign(new EventEmitter(), { send: vi.fn(() => true) });
  closeWhatIsNotTaken({ process } as unknown as Worker, { handedOver() {} });
  const { send } = process as unknown as { send(...sent: unknown[]): boolean };
  return {
    hand(connection: { close(): void }) {
      seq += 1;
      send({ cmd: 'NODE_CLUSTER', act: 'newconn', key: 'a port', seq }, connection);
      return seq;
    },
    answer: (ack: number, accepted: boolean) =>
      process.emit('internalMessage', { cmd: 'NODE_CLUSTER', ack, accepted }),
    end: () => process.emit('exit'),
  };
}

const connection = () => ({ close: vi.fn() });

it('every connection a worker has not acknowledged is closed when it dies', () => {
  const ends = worker();
  const [outside, inside] = [connection(), connection()];
  // One per listening socket.
  ends.hand(outside);
  ends.hand(inside);
  ends.end();
  expect(outside.close).toHaveBeenCalledOnce();
  expect(inside.close).toHaveBeenCalledOnce();
});

it('a connection the worker has taken is left alone', () => {
  const ends = worker();
  const taken = connection();
  ends.answer(ends.hand(taken), true);
  ends.end();
  expect(taken.close).not.toHaveBeenCalled();
});

it('a declined connection belongs to the next worker, or waits for one', () => {
  const [leaves, ends] = [worker(), worker()];
  const [passed, waits] = [connection(), connection()];
  leaves.answer(leaves.hand(passed), false);
  ends.hand(passed);
  // No worker is free for this one.
  leaves.answer(leaves.hand(waits), false);
  leaves.end();
  expect(passed.close).not.toHaveBeenCalled();
  expect(waits.close).not.toHaveBeenCalled();
  ends.end();
  expect(passed.close).toHaveBeenCalledOnce();
});
