/** The modules that importing roomcast loads: few, since an app pays for them at each start. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const exec = promisify(execFile);

/** Prints the URL of each imported module to stderr, one per line. */
const TELLING = `
  import { writeSync } from 'node:fs';
  export async function load(url, context, next) {
    writeSync(2, url + '\\n');
    return next(url, context);
  }`;
/** Prints the required modules too. */
const REQUIRED =
  "console.log(Object.keys((await import('node:module')).Module._cache).join('\\n'))";
const asModule = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;

test.each([
  ['.', 'index.js', ['@opentelemetry/api', 'bintrees', 'prom-client', 'tdigest', 'ws']],
  ['./lock', 'lock/index.js', []],
])('importing %s loads no unneeded package', async (_, file, packages) => {
  const hook = `import { register } from 'node:module'; register(${JSON.stringify(asModule(TELLING))});`;
  const { stderr, stdout } = await exec(process.execPath, [
    '--import',
    asModule(hook),
    '--input-type=module',
    '--eval',
    `await import('./dist/${file}'); ${REQUIRED}`,
  ]);
  const names = (stderr + stdout).matchAll(/.*node_modules\/((?:@[^/\n]+\/)?[^/\n]+)/g);
  expect(Array.from(new Set(Array.from(names, ([, name]) => name))).sort()).toEqual(packages);
});
