/** The folder of the sockets between workers, which only this user may enter. */
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../errors.js';

/** Path of a unix socket: 103 bytes on every system, of which the names below this folder take up to 28. */
const MAX_BYTES = 75;

/** @throws ConfigError if it cannot be created, or would be too deep for a socket */
export function createSocketFolder(): string {
  const parent = tmpdir();
  if (Buffer.byteLength(parent) > MAX_BYTES) throw unusable(parent, 'its path is too long');
  try {
    const folder = mkdtempSync(join(parent, 'roomcast-'));
    chmodSync(folder, 0o700);
    return folder;
  } catch (error) {
    throw unusable(parent, (error as NodeJS.ErrnoException).code);
  }
}

function unusable(parent: string, why: string | undefined): ConfigError {
  const allowed = `a writable folder whose path has at most ${MAX_BYTES} bytes`;
  return new ConfigError(
    `workers need a folder for their sockets in ${parent}, which cannot be used (${why}): set TMPDIR to ${allowed}`,
    { code: 'bad_option', option: 'workers', allowed },
  );
}
