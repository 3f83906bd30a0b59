/** Debian programs that tests run. */
import { existsSync } from 'node:fs';

const told = new Set<string>();

/**
 * Whether a program is installed. `debian`: its Debian package, by default of the same name. If it is
 * missing, its tests are skipped with the reason; in CI they fail.
 */
export function has(program: string, debian = program): boolean {
  const isThere = ['/usr/bin', '/usr/sbin'].some((path) => existsSync(`${path}/${program}`));
  if (!isThere && !told.has(program)) {
    told.add(program);
    console.warn(`Tests with ${program} are skipped: apt-get install ${debian}`);
  }
  return isThere || process.env['CI'] === 'true';
}
