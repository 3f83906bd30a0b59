/**
 * The entry of a worker process: an `Engine` that takes its steps from messages. It leaves signals
 * to the coordinator, which gets them too, and ends when the coordinator goes.
 */
import { Engine } from './engine.js';
import { LoadError } from './error.js';
import type { WorkerReport } from './measure/worker-report.js';
import type { Plan } from './plan.js';
import type { Answer, Order } from './port.js';

let engine: Engine | undefined;

const answer = (message: Answer): void => {
  process.send?.(message);
};

async function carryOut({ step, args }: Order): Promise<unknown> {
  if (step === 'create') {
    const [plan, index, epoch] = args as [Plan, number, number];
    engine = await Engine.create(plan, index, epoch, (report: WorkerReport) => answer({ report }));
    return;
  }
  if (!engine) throw new Error(`${step} before create`);
  switch (step) {
    case 'connect':
      return engine.connect();
    case 'run':
      return engine.run(args[0] as number);
    case 'drain':
      return engine.drain(args[0] as number[]);
    case 'close':
      return engine.close();
    case 'stop':
      return engine.stop();
  }
}

process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('disconnect', () => process.exit());
process.on('message', (order: Order) => {
  carryOut(order).then(
    (result) => answer({ id: order.id, result }),
    (error: unknown) => {
      const code = error instanceof LoadError ? error.code : 'worker_lost';
      answer({ id: order.id, error: { code, message: (error as Error).message } });
    },
  );
});
