/**
 * Builds `dist/` before the tests if it is missing or older than `src/`: some tests run the built code.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';

const STAMP = 'dist/.tsbuildinfo';

const TSC = 'node_modules/typescript/bin/tsc';

export default function build(): void {
  if (isFresh()) return;
  // As `npm run build` does it.
  for (const args of [
    [TSC, '-p', 'tsconfig.build.json'],
    [TSC, '-p', 'client/tsconfig.json'],
    ['client/build.mjs'],
    ['src/page/build.mjs'],
  ]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    // Code with a wrong type is built all the same, so that tests of the rest can run.
    if (status !== 0) console.error(`dist/ was built with errors:\n${stdout}${stderr}`);
  }
  utimesSync(STAMP, new Date(), new Date());
}

function isFresh(): boolean {
  if (!existsSync(STAMP) || !existsSync('dist/cli/main.js')) return false;
  const built = statSync(STAMP).mtimeMs;
  const sources = ['src', 'client/src'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => `${folder}/${path}`),
  );
  return [
    ...sources,
    'client/build.mjs',
    'client/bundle.mjs',
    'docs/openapi.json',
    'docs/runbook.md',
    'tsconfig.build.json',
    'tsconfig.json',
  ].every((path) => statSync(path).mtimeMs <= built);
}
