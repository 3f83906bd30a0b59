/**
 * Runs the first steps of a protocol file (inspect and first contact) in a process of its own, before
 * any worker runs it: a file may throw, hang, loop forever or end its process, and the error then names
 * the file in one line.
 * Not here: the steps themselves (targets/protocol-file.ts, contact.ts).
 */
import type { Met } from './contact.js';
import { LoadError } from './error.js';
import type { Plan } from './plan.js';
import { PortWorker, ProcessPort } from './port.js';
import type { ProtocolFile } from './targets/protocol-file.js';

/** Reads the protocol's name. @throws LoadError `bad_protocol` */
export function inspectApart(protocol: ProtocolFile): Promise<string> {
  return apart(protocol.file, (worker) => worker.order('inspect', protocol));
}

/** Makes first contact with the target. @throws LoadError `bad_option`, `bad_protocol`, `unreachable` */
export function meetApart(plan: Plan, file: string): Promise<Met> {
  return apart(file, (worker) => worker.order('meet', plan));
}

async function apart<Result>(
  file: string,
  ask: (worker: PortWorker) => Promise<Result>,
): Promise<Result> {
  const lost = (reason: string): LoadError =>
    new LoadError(
      'bad_protocol',
      `${file}: ${reason}: expected functions that return and leave the process alone`,
    );
  const worker = new PortWorker(
    lost,
    (events) => new ProcessPort(events),
    () => {},
  );
  try {
    return await ask(worker);
  } finally {
    worker.release();
  }
}
