/**
 * `npm run grafana:preview -- PROMETHEUS OUT.png [MINUTES] [ROWS]`: draws the dashboard from the answers
 * of a real Prometheus, without Grafana. It shows whether each query returns data and whether the panels
 * fit together, not how Grafana renders them.
 *
 * PROMETHEUS is a URL such as http://127.0.0.1:9090. MINUTES is the time range up to now, 10 by default.
 * ROWS is the number of rows from the top, 11 by default. Needs Debian's Chromium.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const [url, out, minutes = '10', rows = '11'] = process.argv.slice(2);
if (url === undefined || out === undefined) {
  process.stderr.write('Pass the URL of a Prometheus and the name of a PNG file.\n');
  process.exit(2);
}

const here = import.meta.dirname;
const dashboard = JSON.parse(readFileSync(join(here, '../dashboards/roomcast.json'), 'utf8'));

/** The script and the style with their imports. */
const { outputFiles } = await build({
  entryPoints: [join(here, 'draw.js'), join(here, 'preview.css')],
  bundle: true,
  write: false,
  outdir: here,
});
const built = (ending) => outputFiles.find(({ path }) => path.endsWith(ending)).text;

const end = Math.floor(Date.now() / 1000);
const start = end - Number(minutes) * 60;
const step = Math.max(1, Math.round((end - start) / 300));

async function ask(path, parameters) {
  const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`).catch(
    (error) => {
      process.stderr.write(`No Prometheus answers at ${url}: ${error.cause?.message}\n`);
      process.exit(1);
    },
  );
  const { status, error, data } = await response.json();
  if (status !== 'success') throw new Error(`${error} in ${parameters.query}`);
  return data.result;
}

/**
 * Selects all values of the variables, and the rate interval that Grafana would use for a scrape
 * interval of five seconds.
 */
const filledIn = (expr) =>
  expr.replaceAll('$__rate_interval', '20s').replaceAll(/\$(job|instance|lock)\b/g, '.+');

async function answer({ expr, legendFormat, instant, refId }) {
  const query = filledIn(expr);
  const result = instant
    ? await ask('query', { query })
    : await ask('query_range', { query, start, end, step });
  return { refId, legendFormat, instant, result };
}

const until = dashboard.panels.filter(({ type }) => type === 'row')[Number(rows)]?.gridPos.y;
const panels = [];
for (const panel of dashboard.panels) {
  if (until !== undefined && panel.gridPos.y >= until) continue;
  panels.push({ ...panel, answers: await Promise.all((panel.targets ?? []).map(answer)) });
}

const html = `<!doctype html>
<meta charset="utf-8">
<style>${built('.css')}</style>
<p id="says">Preview of grafana/dashboards/roomcast.json, drawn by roomcast from the answers of a real Prometheus. Not Grafana.</p>
<main></main>
<script id="data" type="application/json">${JSON.stringify({ panels, start, end, step }).replaceAll('<', '\\u003c')}</script>
<script>${built('.js')}</script>`;

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});
const page = await browser.newPage({ viewport: { width: 1600, height: 900 }, colorScheme: 'dark' });
page.on('pageerror', (error) => process.stderr.write(`${error.stack}\n`));
await page.setContent(html);
await page.waitForFunction('document.body.dataset.done === "yes"');
await page.screenshot({ path: out, fullPage: true });
await browser.close();
process.stdout.write(`${out}\n`);
