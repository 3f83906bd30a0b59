/**
 * Builds the package after tsc has written the types: one file per subpath with shared chunks, and the
 * single file for `<script type="module">`. Fails if that file exceeds its size limit. Run by `npm run
 * build:client`.
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { INTERNAL, LIMIT } from './bundle.mjs';

const src = `${import.meta.dirname}/src`;
const dist = `${import.meta.dirname}/dist`;
const OPTIONS = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`),
};

for (const name of readdirSync(dist)) if (name.endsWith('.js')) rmSync(`${dist}/${name}`);
await build({
  ...OPTIONS,
  entryPoints: ['index', 'backfill', 'events', 'presence', 'sockjs'].map(
    (name) => `${src}/${name}.ts`,
  ),
  splitting: true,
  outdir: dist,
  chunkNames: 'shared-[hash]',
});
const { outputFiles } = await build({
  ...OPTIONS,
  entryPoints: [`${src}/index.ts`],
  minify: true,
  write: false,
});
const [{ contents }] = outputFiles;
writeFileSync(`${dist}/roomcast-client.min.js`, contents);
const size = gzipSync(contents, { level: 9 }).length;
console.log(
  `roomcast-client.min.js: ${size} of ${LIMIT} B, gzip -9 (${contents.length} B minified)`,
);
if (size > LIMIT) process.exitCode = 1;
