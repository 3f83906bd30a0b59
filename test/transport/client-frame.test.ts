/**
 * In-place decoding gives the same texts, refusals and ends as `ws`, for any bytes, split in any way,
 * with any scheduling of turns. In full:
 *
 *     ROOMCAST_TEST_RUNS=1000000 npx vitest run test/transport/client-frame.test.ts
 */
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { ClientFrame } from '../../src/transport/client-frame.js';
import { Intake } from '../../src/transport/intake.js';
import { IntakeMemory } from '../../src/transport/intake-memory.js';
import { ServerWebSocket } from '../../src/transport/server-websocket.js';
import { type Share, Turns } from '../../src/turns.js';
import { frame } from '../support/raw-websocket.js';

const MAX_FRAME_BYTES = 70_000;
/** Cost of a kept piece besides its bytes. */
const OVERHEAD_BYTES = 256;
/** Maximum bytes fed at once: a piece is held as long as one of its bytes is. */
const PIECE_BYTES = 8192;
const RUNS = Number(process.env['ROOMCAST_TEST_RUNS'] ?? 3000);
/** Bounds what fake streams defer to the next turn, to save memory. */
const RUNS_A_TURN = 500;

/** Disables in-place decoding: `ws` reads everything. */
let isForWs = false;
/** Bytes decoded in place. */
let readPast = 0;
const { read } = ClientFrame.prototype;
beforeEach(() => {
  readPast = 0;
  ClientFrame.prototype.read = function (view, at, end, maxBytes) {
    const until = isForWs ? 0 : read.call(this, view, at, end, maxBytes);
    if (until > 0) readPast += until - at;
    return until;
  };
});
afterEach(() => {
  ClientFrame.prototype.read = read;
});

/** Turns controlled by the test. */
class Gate extends Turns {
  isOpen = true;
  #waiting: Share | null = null;

  override run(share: Share): void {
    this.#waiting = share;
    if (this.isOpen) this.open();
    else share.hold(true);
  }

  open(): void {
    this.isOpen = true;
    const share = this.#waiting;
    if (share === null) return;
    this.#waiting = null;
    // As in the real turns: not re-entered from within.
    share.isServing = true;
    while (share.work.step() && !share.hasEnded);
    share.isServing = false;
    share.hold(false);
  }

  override forget(): void {
    this.#waiting = null;
  }
}

/** A connection on a fake socket. */
class Paper {
  readonly said: string[] = [];
  readonly gate = new Gate();
  readonly memory = new IntakeMemory();
  readonly intake: Intake;
  readonly #socket: Duplex;

  constructor() {
    this.#socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const ws = new (ServerWebSocket as unknown as new (...args: unknown[]) => PaperWebSocket)(
      null,
      [],
      {},
    );
    ws.setSocket(this.#socket, Buffer.alloc(0), {
      maxPayload: MAX_FRAME_BYTES,
      maxFragments: 8,
      allowSynchronousEvents: true,
    });
    const input = { turns: this.gate, memory: this.memory, maxFrameBytes: MAX_FRAME_BYTES };
    this.intake = new Intake(ws, input, {
      text: (text, bytes) => this.said.push(`text ${bytes} ${text}`),
      pong: (payload) => this.said.push(`pong ${Buffer.from(payload, 'latin1').toString('hex')}`),
      received: () => {},
      fault: (reason) => this.said.push(`fault ${reason}`),
    });
    ws.on('ping', (data: Buffer) => this.said.push(`ping ${data.toString('hex')}`));
    (ws as unknown as ServerWebSocket).tell({
      message: (data, isBinary) => {
        this.intake.whole();
        this.said.push(`${isBinary ? 'binary' : 'text'} ${data.length} ${data.toString()}`);
      },
      pong: (data) => this.said.push(`pong ${Buffer.from(data, 'latin1').toString('hex')}`),
      left: () => this.said.push('left'),
      fault: (reason) => this.said.push(`fault ${reason}`),
      closed: () => {},
    });
  }

  /** Input as read past the stream, in a buffer that is reused right after. */
  read(bytes: Buffer): void {
    const shared = Buffer.alloc(bytes.length);
    bytes.copy(shared);
    const used = this.intake.read(new DataView(shared.buffer, shared.byteOffset), bytes.length);
    const rest = Buffer.from(shared.subarray(used));
    shared.fill(0xff);
    if (rest.length > 0) this.take(rest);
  }

  /** The same through the stream. */
  take(bytes: Buffer): void {
    this.#socket.emit('data', bytes);
  }
}

interface PaperWebSocket extends WebSocket {
  setSocket(socket: Duplex, head: Buffer, options: object): void;
}

const bytesOf = (...numbers: number[]) => Buffer.from(numbers);
const mask = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 200 }) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 80 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(0, 1, 124, 125, 126, 127, 1000).map((n) => 'x'.repeat(n)),
  },
);
const payload = fc.oneof(
  { weight: 8, arbitrary: text.map((each) => Buffer.from(each)) },
  // Overlong, a surrogate, truncated, beyond the last character.
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      bytesOf(0xc0, 0xaf),
      bytesOf(0xed, 0xa0, 0x80),
      bytesOf(0x61, 0xe6, 0xbc),
      bytesOf(0xf4, 0x90, 0x80, 0x80),
      bytesOf(0x80),
    ),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each)) },
);
const lengthBits = fc.option(fc.constantFrom(16 as const, 64 as const), {
  nil: undefined,
  freq: 6,
});
const whole = fc
  .record({ payload, mask, lengthBits })
  .map(({ payload, mask, lengthBits }) =>
    frame(payload, { mask, ...(lengthBits === undefined ? {} : { lengthBits }) }),
  );
/** Mostly valid frames; some violate the protocol in any way there is. */
const other = fc
  .record({
    payload,
    mask,
    opcode: fc.constantFrom(0, 1, 1, 2, 8, 9, 10, 3, 11),
    isFinal: fc.boolean(),
    isMasked: fc.integer({ max: 20, min: 0 }).map((n) => n > 0),
    reserved: fc.integer({ max: 40, min: 0 }).map((n) => (n < 3 ? 0x10 << n : 0)),
    length: fc.option(fc.constantFrom(3, 70_001, 2 ** 40, 2n ** 63n), { nil: undefined, freq: 20 }),
  })
  .map(({ payload, length, ...options }) =>
    frame(options.opcode > 7 ? payload.subarray(0, 125) : payload, {
      ...options,
      ...(length === undefined ? {} : { length }),
    }),
  );
const fragments = fc
  .record({ payload: text, cuts: fc.array(fc.nat(60), { maxLength: 3 }), mask })
  .map(({ payload, cuts, mask }) => {
    const data = Buffer.from(payload);
    const ends = [...cuts.toSorted((a, b) => a - b), data.length];
    return Buffer.concat(
      ends.map((end, i) =>
        frame(data.subarray(ends[i - 1] ?? 0, end), {
          mask,
          opcode: i === 0 ? 1 : 0,
          isFinal: i === ends.length - 1,
        }),
      ),
    );
  });
const stream = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: whole },
    { weight: 2, arbitrary: fragments },
    { weight: 2, arbitrary: other },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }).map((each) => Buffer.from(each)) },
  ),
  { maxLength: 12 },
);
/** Bytes of the next read, 0 for the rest of a frame, and how the turns change before it. */
const step = fc.record({
  bytes: fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 2000 }),
  ),
  gate: fc.constantFrom('open', 'open', 'open', 'shut', 'stop', 'go'),
});

/** All input, one read at a time; the turns are open at the end. */
function played(
  frames: readonly Buffer[],
  steps: readonly { bytes: number; gate: string }[],
  how: 'by ws' | 'where it lies' | 'by the stream',
) {
  isForWs = how === 'by ws';
  const paper = new Paper();
  const bytes = Buffer.concat(frames);
  let sum = 0;
  const ends = frames.map(({ length }) => {
    sum += length;
    return sum;
  });
  let at = 0;
  for (let i = 0; at < bytes.length; i += 1) {
    const { bytes: length, gate } = steps[i % steps.length] as (typeof steps)[number];
    if (gate === 'open') paper.gate.open();
    if (gate === 'shut') paper.gate.isOpen = false;
    if (gate === 'stop' || gate === 'go') paper.intake.stop(gate === 'stop');
    // A fresh copy each time, so that later changes do not matter.
    const end = length > 0 ? at + length : (ends.find((each) => each > at) as number);
    const read = Buffer.from(bytes.subarray(at, end));
    if (how === 'where it lies') paper.read(read);
    else paper.take(read);
    at = end;
  }
  paper.intake.stop(false);
  paper.gate.open();
  isForWs = false;
  return paper;
}

test(
  'any input is decoded as by ws',
  async () => {
    const past = { 'where it lies': 0, 'by the stream': 0 };
    let all = 0;
    const steps = fc.array(step, { minLength: 1, maxLength: 8 });
    const asWs = fc.property(stream, steps, (frames, reads) => {
      const plain = played(frames, reads, 'by ws');
      for (const how of ['where it lies', 'by the stream'] as const) {
        readPast = 0;
        const direct = played(frames, reads, how);
        expect(direct.said).toEqual(plain.said);
        // It may hold the same bytes in more or fewer pieces, and more of the first.
        const [kept, mayKeep] = [direct.memory.bytes, plain.memory.bytes];
        const most = mayKeep + PIECE_BYTES + 2 * OVERHEAD_BYTES;
        expect([kept > 0, kept <= most]).toEqual([mayKeep > 0, true]);
        past[how] += readPast;
      }
      all += frames.reduce((sum, { length }) => sum + length, 0);
    });
    for (let run = 0; run < RUNS; run += RUNS_A_TURN) {
      fc.assert(asWs, { numRuns: RUNS_A_TURN });
      await new Promise(setImmediate);
    }
    // Otherwise `ws` was compared with itself.
    expect(past['where it lies'] / all).toBeGreaterThan(0.03);
    expect(past['by the stream'] / all).toBeGreaterThan(0.03);
  },
  60_000 + 10 * RUNS,
);

test.each([
  ['of no byte', ''],
  ['of 125 bytes', 'x'.repeat(125)],
  ['of 126 bytes', 'x'.repeat(126)],
  ['of 65,535 bytes', 'x'.repeat(65_535)],
  ['with characters of two, three and four bytes', 'ü漢\u{1f600}'.repeat(30)],
])('a text %s is read where it lies', (_what, text) => {
  const paper = new Paper();
  const bytes = frame(text);
  paper.read(bytes);
  expect(paper.said).toEqual([`text ${Buffer.byteLength(text)} ${text}`]);
  expect(readPast).toBe(bytes.length);
});

test('a pong with any payload is decoded in place', () => {
  const paper = new Paper();
  const bytes = [frame('', { opcode: 10 }), frame(bytesOf(0xff, 0x80, 0), { opcode: 10 })];
  paper.read(Buffer.concat([...bytes, frame('a'), frame('x'.repeat(125), { opcode: 10 })]));
  expect(paper.said).toEqual(['pong ', 'pong ff8000', 'text 1 a', `pong ${'78'.repeat(125)}`]);
  expect(readPast).toBe(6 + 9 + 7 + 131);
});

test('held input is decoded in place when its turn comes, one frame per item', () => {
  const paper = new Paper();
  paper.gate.isOpen = false;
  const frames = [frame('a'), frame('', { opcode: 10 }), frame('b')];
  paper.read(Buffer.concat([...frames, frame('c').subarray(0, 5)]));
  paper.read(Buffer.concat([frame('c').subarray(5), frame('d')]));
  expect([paper.said, readPast]).toEqual([[], 0]);
  for (const count of [1, 2, 3]) {
    paper.intake.step();
    expect(paper.said).toHaveLength(count);
  }
  paper.gate.open();
  expect(paper.said).toEqual(['text 1 a', 'pong ', 'text 1 b', 'text 1 c', 'text 1 d']);
  expect(paper.memory.bytes).toBe(0);
  // Input after a partial frame goes to ws, with whatever is fed at the same time.
  expect(readPast).toBe(7 + 6 + 7);
});

test.each([
  ['not masked', frame('a', { isMasked: false })],
  ['in fragments', frame('a', { isFinal: false })],
  ['with a reserved bit', frame('a', { reserved: 0x40 })],
  ['that is not whole', frame('a'.repeat(10)).subarray(0, 12)],
  ['whose length is not whole', frame('a'.repeat(200)).subarray(0, 3)],
  ['of 65,536 bytes', frame('a'.repeat(65_536))],
  ['that is not UTF-8', frame(bytesOf(0xc3, 0x28))],
  ['that is binary', frame('a', { opcode: 2 })],
  ['that is a ping', frame('a', { opcode: 9 })],
  ['that is a close', frame('', { opcode: 8 })],
  ['that is a pong and not masked', frame('a', { opcode: 10, isMasked: false })],
  ['that is a pong in fragments', frame('a', { opcode: 10, isFinal: false })],
  ['that is a pong with a reserved bit', frame('a', { opcode: 10, reserved: 0x10 })],
  ['that is a pong of 126 bytes', frame('a'.repeat(126), { opcode: 10 })],
  ['that is a pong whose length has 16 bits', frame('a', { opcode: 10, lengthBits: 16 })],
  ['that is a pong and not whole', frame('abc', { opcode: 10 }).subarray(0, 8)],
])('a frame %s is for ws', (_what, bytes) => {
  const paper = new Paper();
  paper.read(bytes);
  expect(readPast).toBe(0);
});

test('a text after part of a message goes to ws until the message is complete', () => {
  const paper = new Paper();
  paper.read(frame('a', { isFinal: false }));
  paper.read(frame('x', { opcode: 9 }));
  paper.read(frame('b', { opcode: 0 }));
  expect(readPast).toBe(0);
  const last = frame('c');
  paper.read(last);
  expect(readPast).toBe(last.length);
  expect(paper.said).toEqual(['ping 78', 'text 2 ab', 'text 1 c']);
});

test.each([
  ['a text', frame('a', { isFinal: false }), frame('b')],
  ['half a head', frame('a').subarray(0, 1), frame('b')],
  ['half a text', frame('a'.repeat(20)).subarray(0, 10), frame('b')],
  ['an empty fragment', frame('', { isFinal: false }), frame('b')],
])('a text in the middle of %s is what ws says it is', (_what, before, text) => {
  const [plain, direct] = [new Paper(), new Paper()];
  for (const bytes of [before, text]) {
    plain.take(Buffer.from(bytes));
    direct.read(bytes);
  }
  expect(direct.said).toEqual(plain.said);
  expect(readPast).toBe(0);
});
