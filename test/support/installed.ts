/** Debian programs that tests run. */
import { existsSync } from 'node:fs';

const told = new Set<string>();

/**
 * Whether a program is installed: one of the package of the same name, unless said otherwise. Where it
 * is not, its tests are skipped and say why; in CI they fail.
 */
export function has(program: string, debian = program): boolean {
  const isThere = ['/usr/bin', '/usr/sbin'].some((path) => existsSync(`${path}/${program}`));
  if (!isThere && !told.has(program)) {
    told.add(program);
    console.warn(`Tests with ${program} are skipped: apt-get install ${debian}`);
  }
  return isThere || process.env['CI'] === 'true';
}
