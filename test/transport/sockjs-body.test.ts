/** Messages are parsed from a body split anywhere, and only the current one is buffered (V3). */
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Refusal } from '../../src/errors.js';
import { Bodies } from '../../src/transport/bodies.js';
import { MessageReader } from '../../src/transport/sockjs-body.js';

const MAX = 100;

function reader(totalBytes = 1_000_000) {
  const bodies = new Bodies({ stallMs: 1000, networkOf: () => 'a', totalBytes });
  const gathered = bodies.gather(new IncomingMessage(new Socket()));
  const found: string[] = [];
  const read = new MessageReader(gathered, MAX, {
    message: (text) => found.push(text),
    notText: () => found.push('<not text>'),
    tooLong: () => found.push('<too long>'),
  });
  return { bodies, found, gathered, read };
}

function readChunk(read: MessageReader, chunk: Buffer): void {
  for (let at = 0; at < chunk.length; ) at = read.read(chunk, at);
}

/** The messages in these chunks, and the outcome. */
function readAll(chunks: readonly Buffer[]): { found: string[]; end: string } {
  const { found, read } = reader();
  try {
    for (const chunk of chunks) readChunk(read, chunk);
    read.end();
    return { found, end: 'good' };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { found, end: error.code };
  }
}

/** Splits the body at these positions. */
function cut(body: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map((place) => place % (body.length + 1)), body.length];
  ends.sort((a, b) => a - b);
  return ends.map((end, i) => body.subarray(i === 0 ? 0 : ends[i - 1], end));
}

const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\r', '\n'), maxLength: 2 });
const escaped = (text: string) =>
  `"${Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`;

describe('a body', () => {
  test('of strings yields those strings, wherever it is split', () => {
    const texts = fc.array(
      fc.tuple(fc.string({ unit: 'binary', maxLength: 20 }), fc.boolean(), space),
    );
    fc.assert(
      fc.property(texts, fc.array(fc.nat()), (items, places) => {
        const parts = items.map(
          ([text, isEscaped, gap]) =>
            gap + (isEscaped ? escaped(text) : JSON.stringify(text)) + gap,
        );
        const chunks = cut(Buffer.from(` [${parts.join(',')} ]\n`), places);
        expect(readAll(chunks)).toEqual({ found: items.map(([text]) => text), end: 'good' });
      }),
    );
  });

  test('of other JSON or none is refused as by JSON.parse, or is a fault', () => {
    const piece = fc.constantFrom(
      '[',
      ']',
      '"',
      '\\',
      ',',
      'a',
      '"a"',
      '1',
      'null',
      '{}',
      ' ',
      '\\"',
      '\\u00',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat()), (pieces, places) => {
        const text = pieces.join('');
        const { found, end } = readAll(cut(Buffer.from(text), places));
        let value: unknown;
        try {
          value = JSON.parse(text);
        } catch {
          // Malformed: refused, unless something in it was a fault before.
          if (!found.includes('<not text>')) expect(end).not.toBe('good');
          return;
        }
        if (!Array.isArray(value)) expect([found, end]).toEqual([[], 'bad_command']);
        else if (value.every((each) => typeof each === 'string')) {
          expect([found, end]).toEqual([value, 'good']);
        } else expect(found.at(-1)).toBe('<not text>');
      }),
      { numRuns: 2000 },
    );
  });

  test('buffers only the current message, whatever the body’s length', () => {
    const { found, gathered, read } = reader();
    readChunk(read, Buffer.from('['));
    const message = Buffer.from(`"${'x'.repeat(MAX)}",`);
    for (let i = 0; i < 1000; i += 1) {
      readChunk(read, message);
      expect(gathered.length).toBe(0);
    }
    expect(found).toHaveLength(1000);
  });

  test('ends at a message longer than any encoding of an allowed one', () => {
    const longest = `"${'\\u0041'.repeat(MAX)}"`;
    expect(readAll([Buffer.from(`[${longest}]`)]).found).toEqual(['A'.repeat(MAX)]);
    const chunks = [
      Buffer.from('["'),
      ...Array(10).fill(Buffer.alloc(MAX, 'x')),
      Buffer.from('","a"]'),
    ];
    expect(readAll(chunks)).toEqual({ found: ['<too long>'], end: 'good' });
  });
});

describe('all bodies under way', () => {
  test('are bounded, and one network leaves as much for others as it uses', () => {
    let network = 'a';
    const bodies = new Bodies({ stallMs: 1000, networkOf: () => network, totalBytes: 100_000 });
    const request = new IncomingMessage(new Socket());
    const chunk = Buffer.alloc(10_000);
    const fill = () => {
      const all = [];
      for (;;) {
        const gathered = bodies.gather(request);
        try {
          gathered.add(chunk);
        } catch (error) {
          expect(error).toMatchObject({ code: 'server_busy' });
          return all;
        }
        all.push(gathered);
      }
    };
    const first = fill();
    expect(first).toHaveLength(5);
    network = 'b';
    const second = fill();
    expect(second).toHaveLength(2);
    for (const each of [...first, ...second]) each.release();
    expect(fill()).toHaveLength(5);
  });
});
