/**
 * The program of a worker, which the primary of `roomcast serve --workers` starts: its log and its exit.
 * It ignores signals: terminals and service managers send them to all processes, and the primary handles
 * them.
 */
import type { Logger } from 'pino';
import { joinWorkers } from '../cluster/worker.js';
import { collectStart, makeObjectsYoung } from './heap.js';
import { createLog } from './log.js';
import { endSoon, leave } from './process.js';

makeObjectsYoung();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) {
  process.on(signal, () => {});
}
let log: Logger | undefined;
process.on('uncaughtException', (error, origin) => {
  log?.fatal({ err: error, origin }, 'failed');
  leave(1);
});
joinWorkers({
  createLog(config, slot) {
    log = createLog(config, process.stdout, process.stderr).child({ worker: slot });
    return log;
  },
  served: collectStart,
  ended() {
    if (log === undefined) leave(0);
    else endSoon(log);
  },
});
