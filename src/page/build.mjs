/**
 * Builds what browsers load: the live page, the script and style embedded in reports of `roomcast load`
 * (both with uPlot), the runbook and the API reference as pages, and a copy of the single-file client.
 * Run by `npm run build:page`, after `build:client`. Types are checked by `npm run check`.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Marked } from 'marked';
import { reference } from './reference.mjs';

const here = import.meta.dirname;
const root = join(here, '../..');
const target = join(root, 'dist/page');
const uplot = dirname(fileURLToPath(import.meta.resolve('uplot')));

const OPTIONS = {
  bundle: true,
  minify: true,
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'inline',
  logLevel: 'warning',
};
await build({
  ...OPTIONS,
  entryPoints: ['main.ts', 'reference.ts', 'style.css'].map((name) => join(here, name)),
  format: 'esm',
  outdir: target,
});
await build({
  ...OPTIONS,
  entryPoints: [join(root, 'src/load/report/browser.ts'), join(root, 'src/load/report/report.css')],
  format: 'iife',
  outdir: join(root, 'dist/load/report'),
});
for (const name of ['index.html', 'favicon.svg'])
  copyFileSync(join(here, name), join(target, name));
copyFileSync(join(uplot, '../LICENSE'), join(target, 'uplot.LICENSE'));

copyFileSync(join(root, 'client/dist/roomcast-client.min.js'), join(target, 'client.js'));

/** The anchor of a heading, as in `grafana/src/links.ts`. */
const anchor = (heading) =>
  heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-');

const marked = new Marked({
  renderer: {
    heading({ tokens, depth, text }) {
      return `<h${depth} id="${anchor(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
    },
  },
});

/** The frame of a text page. */
const pageOf = (title, main, script = '') => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>roomcast: ${title}</title>
<link rel="icon" href="favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page/style.css">
${script}</head>
<body class="prose">
<header>
<a href="./">Live page</a>
<nav aria-label="More">
<a href="docs">HTTP API</a>
<a href="metrics">Metrics</a>
<a href="runbook">Runbook</a>
</nav>
</header>
<main>
${main}</main>
</body>
</html>
`;

const read = (name) => readFileSync(join(root, 'docs', name), 'utf8');
writeFileSync(join(target, 'runbook.html'), pageOf('runbook', marked.parse(read('runbook.md'))));
writeFileSync(
  join(target, 'docs.html'),
  pageOf(
    'HTTP API',
    reference(JSON.parse(read('openapi.json'))),
    '<script type="module" src="page/reference.js"></script>\n',
  ),
);
