/**
 * Puts what is not TypeScript beside the compiled page: markup, style, uPlot and Swagger UI as they
 * were published, and the runbook as a page. Run by `npm run build:page`.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Marked } from 'marked';

const here = import.meta.dirname;
const root = join(here, '../..');
const target = join(root, 'dist/page');
const uplot = dirname(fileURLToPath(import.meta.resolve('uplot')));

mkdirSync(join(target, 'vendor'), { recursive: true });
for (const name of ['index.html', 'style.css', 'favicon.svg']) {
  copyFileSync(join(here, name), join(target, name));
}
copyFileSync(join(uplot, 'uPlot.esm.js'), join(target, 'vendor/uplot.js'));
copyFileSync(join(uplot, 'uPlot.min.css'), join(target, 'vendor/uplot.css'));
copyFileSync(join(uplot, '../LICENSE'), join(target, 'vendor/uplot.LICENSE'));

const swagger = dirname(fileURLToPath(import.meta.resolve('@fastify/swagger-ui')));
mkdirSync(join(target, 'docs'), { recursive: true });
for (const name of ['swagger-ui-bundle.js', 'swagger-ui.css']) {
  copyFileSync(join(swagger, 'static', name), join(target, 'docs', name));
}
copyFileSync(join(swagger, 'LICENSE'), join(target, 'docs/swagger-ui.LICENSE'));
for (const name of ['index.html', 'start.js']) {
  copyFileSync(join(here, 'docs', name), join(target, 'docs', name));
}

/** The anchor of a heading, as `grafana/src/links.ts` has it. */
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

writeFileSync(
  join(target, 'runbook.html'),
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>roomcast: runbook</title>
<link rel="icon" href="favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page/style.css">
</head>
<body class="prose">
${marked.parse(readFileSync(join(root, 'docs/runbook.md'), 'utf8'))}</body>
</html>
`,
);
