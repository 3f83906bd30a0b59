/**
 * The entry of a worker process: runs an `Engine` whose steps arrive as messages, and the first steps of
 * a protocol file. Ignores SIGINT and SIGTERM, which the coordinator receives too, and exits when the
 * coordinator does. Reports every second that its event loop runs.
 */
import { pathToFileURL } from 'node:url';
import { meet } from './contact.js';
import { Engine } from './engine.js';
import { LoadError } from './error.js';
import type { WorkerReport } from './measure/worker-report.js';
import type { Plan } from './plan.js';
import { ALIVE_EVERY_MS, type Answer, type Order, toldError } from './port.js';
import { loadProtocol, type ProtocolFile } from './targets/protocol-file.js';

let engine: Engine | undefined;
/** The protocol file that runs in this process. */
let file: string | undefined;

/** Removed from `process`, so that a protocol file cannot send messages to the coordinator. */
const send = process.send?.bind(process);
delete (process as { send?: unknown }).send;

const answer = (message: Answer): void => {
  send?.(message);
};

async function carryOut({ step, args }: Order): Promise<unknown> {
  switch (step) {
    case 'inspect': {
      const protocol = args[0] as ProtocolFile;
      file = protocol.file;
      return (await loadProtocol(protocol)).name;
    }
    case 'meet': {
      const plan = args[0] as Plan;
      file = plan.target.protocol?.file;
      return meet(plan);
    }
    case 'create': {
      const [plan, index, epoch] = args as [Plan, number, number];
      file = plan.target.protocol?.file;
      const report = (report: WorkerReport): void => answer({ report });
      engine = await Engine.create(plan, index, epoch, report);
      return;
    }
  }
  if (!engine) throw new Error(`${step} before create`);
  switch (step) {
    case 'connect':
      return engine.connect();
    case 'run':
      return engine.run(args[0] as number);
    case 'drain':
      return engine.drain(args[0] as number[], args[1] as boolean);
    case 'close':
      return engine.close();
    case 'stop':
      return engine.stop();
  }
}

/** An exception that a protocol file throws outside of its functions is its fault, not a bug of ours. */
function blamed(error: unknown): unknown {
  const inFile =
    file !== undefined && String((error as Error)?.stack).includes(pathToFileURL(file).href);
  return inFile ? new LoadError('bad_protocol', `${file}: ${error}`) : error;
}

setInterval(() => answer({ alive: true }), ALIVE_EVERY_MS);
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('disconnect', () => process.exit());
process.on('uncaughtException', (error) => {
  const message: Answer = { crashed: toldError(blamed(error)) };
  send?.(message, () => process.exit(1));
});
process.on('message', (order: Order) => {
  carryOut(order).then(
    (result) => answer({ id: order.id, result }),
    (error: unknown) => answer({ id: order.id, error: toldError(error) }),
  );
});
answer({ alive: true });
