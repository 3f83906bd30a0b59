/**
 * Closes the connections that are on their way to a worker when it dies. `node:cluster` keeps a connection
 * open until the worker acknowledges it. If the worker dies before that, nobody would answer or close it,
 * and the client would wait for ever. Here it is closed, so that the client reconnects (V8).
 *
 * For each listening socket `node:cluster` hands a worker the next connection only after the previous one
 * is acknowledged, so there is at most one per listening socket.
 *
 * Not here: which worker gets a connection (`node:cluster`); connections that wait for a worker
 * (`backlog.ts`).
 */
import type { Worker } from 'node:cluster';
import type { Backlog, Connection } from './backlog.js';

/** An internal message of `node:cluster`. */
interface Sent {
  readonly act?: string;
  readonly seq?: number;
}

/** The worker's acknowledgement of one, by its `seq`. */
interface Acknowledged {
  readonly ack?: number;
}

/** Call once per worker, before it listens. Tells `backlog` of each connection handed over. */
export function closeWhatIsNotTaken(worker: Worker, backlog: Pick<Backlog, 'handedOver'>): void {
  const { process } = worker;
  /** By the `seq` of the message; closing one twice is harmless. */
  const handed = new Map<number | undefined, Connection>();
  const send = process.send.bind(process) as (...sent: unknown[]) => boolean;
  process.send = (...sent: unknown[]) => {
    const [message, connection] = sent as [Sent | null, Connection | undefined];
    if (message?.act === 'newconn' && connection !== undefined) {
      backlog.handedOver(connection);
      handed.set(message.seq, connection);
    }
    return send(...sent);
  };
  // The worker has the connection, or has declined it: then another has it, or it waits for one.
  process.on('internalMessage', ({ ack }: Acknowledged) => void handed.delete(ack));
  // libuv reports an exit after everything the worker has sent.
  process.once('exit', () => {
    for (const connection of handed.values()) connection.close();
    handed.clear();
  });
}
