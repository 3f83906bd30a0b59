/** The folder for the sockets between workers, where the machine has none or only a deep one. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { run } from '../support/process.js';

/** An existing folder whose path has this length. */
function folderOf(length: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'deep-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'x'.repeat(length - folder.length - 1));
  mkdirSync(path);
  return path;
}

const serve = (folder: string) =>
  run(['serve', '--port', '0', '--workers', '2'], { env: { TMPDIR: folder } });

test.each([
  ['does not exist', () => '/nonexistent', 'ENOENT'],
  ['is too deep for a socket', () => folderOf(76), 'its path is too long'],
])('a folder that %s ends the start, and one line says what would do', async (_, folder, why) => {
  const path = folder();
  const server = serve(path);
  expect(await server.exited).toBe(2);
  expect(server.stderr).toBe(
    `roomcast: workers need a folder for their sockets in ${path}, which cannot be used (${why}): set TMPDIR to a writable folder whose path has at most 75 bytes\n`,
  );
});

test('the deepest allowed folder is used', async () => {
  const server = serve(folderOf(75));
  const { url } = await server.line('serving');
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
});
