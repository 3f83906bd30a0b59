/**
 * A connection on its way from the primary to a worker. `node:cluster` keeps it open until the worker has
 * said that it has it. Where a worker ends before that, nobody would answer and nobody would close it: its
 * peer would wait for ever. Here it is closed, so that the peer comes again (V8).
 *
 * `node:cluster` hands a worker the next only when it has taken the one before, so there is one at most.
 *
 * Not here: which worker is given a connection, which is for `node:cluster`; those that wait for one
 * (`backlog.ts`).
 */
import type { Worker } from 'node:cluster';
import type { Backlog, Connection } from './backlog.js';

/** The message with which it does. */
interface Sent {
  readonly act?: string;
}

/** The last connection that each worker was handed, which may be closed twice; one that was declined is at another by then. */
const handed = new Map<Worker, Connection>();

/** Once for each worker, before it listens. `backlog` is told of each that it is handed. */
export function closeWhatIsNotTaken(worker: Worker, backlog: Backlog): void {
  const { process } = worker;
  const send = process.send.bind(process) as (...sent: unknown[]) => boolean;
  process.send = (...sent: unknown[]) => {
    const [message, connection] = sent as [Sent | null, Connection | undefined];
    if (message?.act === 'newconn' && connection !== undefined) {
      backlog.handedOver(connection);
      give(worker, connection);
    }
    return send(...sent);
  };
  worker.once('exit', () => {
    handed.get(worker)?.close();
    handed.delete(worker);
  });
}

function give(worker: Worker, connection: Connection): void {
  for (const [before, its] of handed) if (its === connection) handed.delete(before);
  handed.set(worker, connection);
}
