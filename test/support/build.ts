/** Builds `dist/` before the tests where it is missing or older than `src/`: some run what users run. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';

const STAMP = 'dist/.tsbuildinfo';

export default function build(): void {
  if (isFresh()) return;
  const tsc = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'];
  const { status, stdout } = spawnSync(process.execPath, tsc, { encoding: 'utf8' });
  // Code with a wrong type is built all the same, so that tests of the rest can run.
  if (status !== 0) console.error(`dist/ was built with errors:\n${stdout}`);
}

function isFresh(): boolean {
  if (!existsSync(STAMP) || !existsSync('dist/cli/main.js')) return false;
  const built = statSync(STAMP).mtimeMs;
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' });
  return [...sources.map((path) => `src/${path}`), 'tsconfig.build.json', 'tsconfig.json'].every(
    (path) => statSync(path).mtimeMs <= built,
  );
}
