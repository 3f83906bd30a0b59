/**
 * The progress of a run, redrawn every second on a terminal. Not shown elsewhere: a pipe or a log gets
 * only the summary.
 */
import type { WriteStream } from 'node:tty';
import type { Second, ServerSample } from '../measure/result.js';
import type { Plan } from '../plan.js';

import { formatBytes, formatCount, formatMicros } from '../units.js';
import { table } from './table.js';

export class Progress {
  readonly #plan: Plan;
  readonly #terminal: WriteStream;
  readonly #total: number;
  #lines = 0;

  constructor(plan: Plan, terminal: WriteStream) {
    this.#plan = plan;
    this.#terminal = terminal;
    this.#total = plan.phases.reduce((sum, { ms }) => sum + ms / 1000, 0);
  }

  connecting(present: number): void {
    this.#draw([
      `connecting: ${formatCount(present)} of ${formatCount(this.#plan.members)} members`,
    ]);
  }

  second(second: Second, server: ServerSample | null): void {
    const { scenario, target } = this.#plan;
    const left = Math.max(0, Math.round(this.#total - second.at));
    const rows = this.#plan.cohorts.map(({ name }, i) => {
      const { delivered, announced, present, p50, p99 } = second.cohorts[i]!;
      return [
        name,
        formatCount(present),
        `${formatCount(delivered)}/s`,
        formatMicros(p50),
        formatMicros(p99),
        `${formatCount(announced)}/s`,
      ];
    });
    this.#draw([
      `${scenario} on ${target.name}   phase ${second.phase}   ${Math.round(second.at)} of ${this.#total} s, ${left} s left`,
      ...table([['cohort', 'present', 'delivered', 'p50', 'p99', 'dropped'], ...rows]).split('\n'),
      `  sent ${formatCount(second.sent)}/s   generator ${Math.round(second.utilization * 100)} % busy, loop p99 ${formatMicros(second.loopDelayP99)}`,
      ...(server ? [`  server ${describe(server)}`] : []),
    ]);
  }

  draining(): void {
    this.#draw(['draining: waiting for messages that members are still owed']);
  }

  /** Clears the display. */
  done(): void {
    this.#draw([]);
  }

  #draw(lines: readonly string[]): void {
    const width = this.#terminal.columns || 80;
    this.#terminal.moveCursor(0, -this.#lines);
    this.#terminal.cursorTo(0);
    this.#terminal.clearScreenDown();
    for (const line of lines) this.#terminal.write(`${line.slice(0, width)}\n`);
    this.#lines = lines.length;
  }
}

function describe({ cpuCores, rssBytes, queueBytes, dropped, lockHoldP99 }: ServerSample): string {
  return [
    cpuCores === null ? '' : `${cpuCores.toFixed(2)} cores`,
    rssBytes === null ? '' : formatBytes(rssBytes),
    queueBytes === null ? '' : `queues ${formatBytes(queueBytes)}`,
    dropped === null ? '' : `dropped ${formatCount(dropped)}`,
    lockHoldP99 === null ? '' : `lock p99 ${formatMicros(lockHoldP99)}`,
  ]
    .filter(Boolean)
    .join('   ');
}
