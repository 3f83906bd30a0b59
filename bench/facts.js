import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { placement } from './process.js';

/** The machine and the versions that were measured. */

/** @returns {Record<string, string>} */
export const machine = () => ({
  CPU: `${cpus().length} × ${cpus()[0]?.model}`,
  memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
  system: `Linux ${release()}`,
  placement,
  commit: commit(),
});

const RECORDS = ['RESULTS.md', 'reports'].map((path) => `:(top,exclude)bench/${path}`);

/** The checked-out commit, with `-dirty` if files other than recorded results differ from it. */
function commit() {
  /** @param {string[]} args */
  const git = (...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', ':(top)', ...RECORDS);
  return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : '-dirty'}`;
}

/**
 * @param {Record<string, import('./targets.js').Target>} targets
 * @returns {Record<string, string>} versions of Node and of the installed targets
 */
export function versions(targets) {
  /** @type {Record<string, string>} */
  const found = { Node: process.version };
  for (const [name, { missing, version }] of Object.entries(targets)) {
    if (missing() !== null) continue;
    const [command = '', ...args] = version();
    found[name] = execFileSync(command, args, { encoding: 'utf8' }).trim().replaceAll('\n', ', ');
  }
  return found;
}
