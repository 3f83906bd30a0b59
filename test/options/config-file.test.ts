/** Files of options in the encodings of different editors, and the positions of errors. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { readConfigFile } from '../../src/options/config-file.js';
import { FileError } from '../../src/options/document.js';

const directory = mkdtempSync(join(tmpdir(), 'roomcast-json-'));
const path = join(directory, 'options.json');
afterAll(() => rmSync(directory, { recursive: true }));

function read(content: string | Buffer): unknown {
  writeFileSync(path, content);
  return readConfigFile(path).value;
}

function fault(content: string | Buffer): string {
  try {
    read(content);
  } catch (error) {
    if (error instanceof FileError) return error.message;
    throw error;
  }
  throw new Error('taken');
}

const swapped = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

test.each([
  ['a byte order mark', '\ufeff{"port":1}'],
  ['line ends of Windows', '{\r\n  "port": 1\r\n}\r\n'],
  ['line ends of old Macs', '{\r"port":1\r}'],
  ['tabs and empty lines', '\n\n{\t"port"\t:\t1\t}\n\n'],
  ['UTF-16, little end first', Buffer.from('\ufeff{"port":1}', 'utf16le')],
  ['UTF-16, big end first', swapped('\ufeff{"port":1}')],
])('%s', (_, content) => {
  expect(read(content)).toEqual({ port: 1 });
});

test.each([
  ['{\n  "port": 1,\n}', 'is not valid JSON at line 3, column 1'],
  ['{"port": 1 "host": 2}', 'is not valid JSON at line 1, column 12'],
  ['{\r\n"a": 1,\r\n"b": hunter2}', 'is not valid JSON at line 3, column 6'],
  ['{"a": 01}', 'is not valid JSON at line 1, column 7'],
  ['{"a": "tab\t"}', 'is not valid JSON at line 1, column 7'],
  ["{'a': 1}", 'is not valid JSON at line 1, column 2'],
  ['{"a": 1} // why', 'is not valid JSON at line 1, column 10'],
  ['{"a": [1, 2', 'is not valid JSON at line 1, column 12'],
  ['{"port": 1,\n "port": 2}', 'has the same key twice at line 2, column 2'],
  ['{"p": 1, "\\u0070": 2}', 'has the same key twice at line 1, column 10'],
  ['['.repeat(200), 'is nested deeper than 100 levels at line 1, column 102'],
  ['', 'is empty'],
  ['\ufeff \n', 'is empty'],
  [Buffer.from([0x7b, 0xff, 0x7d]), 'is not text in UTF-8'],
])('%j', (content, message) => {
  expect(fault(content)).toBe(message);
});

test('accepts and rejects the same texts as JSON.parse, with the same result', () => {
  const nearJson = fc
    .tuple(fc.json(), fc.nat(), fc.string({ maxLength: 2 }))
    .map(([text, at, noise]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + noise + text.slice(place + 1);
    });
  fc.assert(
    fc.property(fc.oneof(fc.json(), nearJson), (text) => {
      let parsed: unknown;
      try {
        parsed = JSON.parse(text);
      } catch {
        expect(fault(text)).toMatch(/is (empty|not valid JSON)|twice/);
        return;
      }
      try {
        expect(read(text)).toEqual(parsed);
      } catch (error) {
        expect((error as Error).message).toContain('the same key twice');
      }
    }),
    { numRuns: 500 },
  );
});
