import { PassThrough } from 'node:stream';
import type { WriteStream } from 'node:tty';
import { expect, test } from 'vitest';
import { Progress } from '../../../src/load/report/progress.js';
import { FIXTURE_PLAN, fixtureRun } from '../../support/load-report.js';

/** A terminal of a few columns that records its lines, and supports the moves that the progress uses. */
class Screen extends PassThrough {
  columns = 60;
  lines: string[] = [];
  #row = 0;
  moveCursor(_: number, rows: number): boolean {
    this.#row += rows;
    return true;
  }
  cursorTo(): boolean {
    return true;
  }
  clearScreenDown(): boolean {
    this.lines.length = this.#row;
    return true;
  }
  override write(text: string): boolean {
    for (const line of text.split('\n').slice(0, -1)) this.lines[this.#row++] = line;
    return true;
  }
}

test('each second replaces the last one, and nothing is left at the end', () => {
  const screen = new Screen();
  const progress = new Progress(FIXTURE_PLAN, screen as unknown as WriteStream);
  const run = fixtureRun();
  progress.connecting(12);
  expect(screen.lines).toEqual(['connecting: 12 of 100 members']);
  for (const [i, second] of run.timeline.entries()) {
    progress.second(second, run.server.samples[i]!);
  }
  expect(screen.lines[0]).toBe('stalled-10 on roomcast   phase slow   25 of 25 s, 0 s left');
  expect(screen.lines.join('\n')).toMatch(/healthy\s+90\s+9,000\/s\s+900 µs\s+1\.40 ms/);
  expect(screen.lines.join('\n')).toContain('queues 10.0 MB');
  expect(screen.lines.every((line) => line.length <= 60)).toBe(true);
  progress.done();
  expect(screen.lines).toEqual([]);
});
