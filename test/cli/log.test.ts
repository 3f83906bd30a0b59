import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { createLog } from '../../src/cli/log.js';

type Line = Record<string, unknown>;

/** A reader of the log that reads nothing until told to. */
class StalledReader extends Writable {
  readonly taken: Line[] = [];
  #next: (() => void) | null = null;
  #stalled = true;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(JSON.parse(String(chunk)));
    if (this.#stalled) this.#next = done;
    else done();
  }

  resume(): void {
    this.#stalled = false;
    this.#next?.();
  }
}

test('a stalled reader makes the log lose lines, not grow, and the loss is reported', async () => {
  const reader = new StalledReader();
  const log = createLog({ logLevel: 'info', logFormat: 'auto' }, reader, new PassThrough());
  const pad = 'x'.repeat(1000);
  const written = 5000;
  for (let n = 0; n < written; n++) log.info({ n, pad });
  expect(reader.writableLength).toBeLessThan(1_048_576 + 2000);

  const drained = once(reader, 'drain');
  reader.resume();
  await drained;
  log.info('again');
  log.info('and again');
  const [said, again, andAgain] = reader.taken.slice(-3);
  const kept = reader.taken.filter(({ n }) => n !== undefined);
  expect(said).toMatchObject({
    level: 'warn',
    lost: written - kept.length,
    msg: 'log lines were lost',
  });
  expect(said!['lost']).toBeGreaterThan(0);
  expect(kept.map(({ n }) => n)).toEqual(kept.map((_, n) => n));
  expect([again!['msg'], andAgain!['msg']]).toEqual(['again', 'and again']);
});

test('a log without a reader does not fail', () => {
  const reader = new PassThrough();
  const complaints = new PassThrough();
  const log = createLog({ logLevel: 'info', logFormat: 'auto' }, reader, complaints);
  log.info('one');
  // Without a listener this would throw.
  for (let n = 0; n < 3; n += 1) reader.emit('error', new Error('write EPIPE'));
  complaints.emit('error', new Error('write EPIPE'));
  log.info('two');
  expect(String(complaints.read())).toBe('roomcast: continuing without a log: write EPIPE\n');
  expect(String(reader.read())).toContain('one');
  expect(reader.read()).toBeNull();
});

test('JSON lines above the level, without secrets', () => {
  const out = new PassThrough();
  const log = createLog({ logLevel: 'warn', logFormat: 'auto' }, out, new PassThrough());
  log.info('quiet');
  const headers = { authorization: 'Bearer hunter2', 'x-api-key': 'hunter2', host: 'h' };
  log.warn({ apiKey: ['hunter2'], config: { apiKey: ['hunter2'] }, req: { headers } }, 'loud');
  const text = String(out.read());
  expect(text).not.toContain('quiet');
  expect(text).not.toContain('hunter2');
  expect(JSON.parse(text)).toMatchObject({
    level: 'warn',
    msg: 'loud',
    req: { headers: { host: 'h' } },
  });
});

test('text on a terminal, with the stack of an error', () => {
  const out = Object.assign(new PassThrough(), { isTTY: true });
  const log = createLog({ logLevel: 'info', logFormat: 'auto' }, out, new PassThrough());
  log.info({ port: 1 }, 'serving');
  log.info(
    { port: 1, publish: `curl -d '{"data":"\u001b"}'`, forged: '"\n[00:00:00] INFO' },
    'try',
  );
  log.warn('quietly');
  log.error({ err: new Error('broken\u001b[2J'), member: 'm1' }, 'failed');
  // Newer Node versions read one write at a time.
  let text = '';
  for (let chunk = out.read(); chunk !== null; chunk = out.read()) text += String(chunk);
  const [serving, tried, publish, warned, failed, ...stack] = text.split('\n');
  expect(serving).toMatch(/^\[\d\d:\d\d:\d\d\] INFO serving \{"port":1\}$/);
  expect(tried).toMatch(/INFO try \{"port":1,"forged":"\\"\\n\[00:00:00\] INFO"\}$/);
  expect(publish).toBe(`  publish: curl -d '{"data":"?"}'`);
  expect(warned).toMatch(/\] WARN quietly$/);
  expect(failed).toMatch(/\] ERROR failed \{"member":"m1"\}$/);
  expect(stack[0]).toBe('Error: broken?[2J');
  expect(stack[1]).toContain('log.test.ts');
});

test('the format can be chosen: levels are names in either', () => {
  const written = (logFormat: 'json' | 'text', isTTY: boolean): string => {
    const out = Object.assign(new PassThrough(), { isTTY });
    createLog({ logLevel: 'info', logFormat }, out, new PassThrough()).warn({ room: 'a' }, 'full');
    return String(out.read());
  };
  expect(JSON.parse(written('json', true))).toMatchObject({ level: 'warn', msg: 'full' });
  expect(written('text', false)).toMatch(/^\[\d\d:\d\d:\d\d\] WARN full \{"room":"a"\}\n$/);
});
