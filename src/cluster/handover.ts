/**
 * Closes a connection if the worker it is handed to dies first. `node:cluster` keeps a connection open
 * until the worker acknowledges it. If the worker dies before that, nobody would answer or close it,
 * and the client would wait for ever. Here it is closed, so that the client reconnects (V8).
 *
 * `node:cluster` hands a worker the next connection only after the previous one is acknowledged, so
 * there is at most one.
 *
 * Not here: which worker gets a connection (`node:cluster`); connections that wait for a worker
 * (`backlog.ts`).
 */
import type { Worker } from 'node:cluster';
import type { Backlog, Connection } from './backlog.js';

/** An internal message of `node:cluster`. */
interface Sent {
  readonly act?: string;
}

/**
 * The last connection handed to each worker. Closing it twice is harmless; a declined one has been
 * handed to another worker by then.
 */
const handed = new Map<Worker, Connection>();

/** Call once per worker, before it listens. Tells `backlog` of each connection handed over. */
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
