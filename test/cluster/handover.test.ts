/** Connections on their way to a worker, as `node:cluster` says what becomes of each. */
import type { Worker } from 'node:cluster';
import { EventEmitter } from 'node:events';
import { expect, it, vi } from 'vitest';
import { closeWhatIsNotTaken } from '../../src/cluster/handover.js';

let seq = 0;

/** A worker, and what `node:cluster` does with it. */
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

it('each that a worker has not answered for when it ends is closed', () => {
  const ends = worker();
  const [outside, inside] = [connection(), connection()];
  // One of each socket that is listened on.
  ends.hand(outside);
  ends.hand(inside);
  ends.end();
  expect(outside.close).toHaveBeenCalledOnce();
  expect(inside.close).toHaveBeenCalledOnce();
});

it('one that a worker has taken is its own', () => {
  const ends = worker();
  const taken = connection();
  ends.answer(ends.hand(taken), true);
  ends.end();
  expect(taken.close).not.toHaveBeenCalled();
});

it('one that a worker has declined is not closed with it, but with the one that has it then', () => {
  const [leaves, ends] = [worker(), worker()];
  const [passed, waits] = [connection(), connection()];
  leaves.answer(leaves.hand(passed), false);
  ends.hand(passed);
  // Nobody is free to take that one now.
  leaves.answer(leaves.hand(waits), false);
  leaves.end();
  expect(passed.close).not.toHaveBeenCalled();
  expect(waits.close).not.toHaveBeenCalled();
  ends.end();
  expect(passed.close).toHaveBeenCalledOnce();
});
