/** Draws the panels in the browser of `preview.mjs`: stats, graphs, heatmaps and tables. */
import { BINARY_STEPS } from '../../src/page/axes.ts';
import { Chart } from '../../src/page/chart.ts';

const { panels, start, end, step } = JSON.parse(document.getElementById('data').textContent);
const main = document.querySelector('main');

/** Custom properties of preview.css. */
const PALETTE = Array.from({ length: 8 }, (_, i) => `--palette-${i}`);
const NAMED = ['blue', 'orange', 'red', 'green'];

function short(value, digits = 3) {
  return String(Number(value.toPrecision(digits)));
}

function scaled(value, units, factor) {
  let unit = 0;
  while (Math.abs(value) >= factor && unit < units.length - 1) {
    value /= factor;
    unit += 1;
  }
  return `${short(value)}${units[unit] && ` ${units[unit]}`}`;
}

const FORMATS = {
  s(value) {
    if (value === 0) return '0 s';
    if (Math.abs(value) < 1e-3) return `${short(value * 1e6)} µs`;
    if (Math.abs(value) < 1) return `${short(value * 1e3)} ms`;
    return `${short(value)} s`;
  },
  short: (value) => scaled(value, ['', 'K', 'Mil'], 1000),
  ops: (value) => scaled(value, ['ops/s', 'K ops/s', 'M ops/s'], 1000),
  bytes: (value) => scaled(value, ['B', 'KiB', 'MiB', 'GiB'], 1024),
  binBps: (value) => scaled(value, ['B/s', 'KiB/s', 'MiB/s', 'GiB/s'], 1024),
  percentunit: (value) => `${short(value * 100)}%`,
};

/** A short time of day for axis labels. */
const clock = (seconds) =>
  new Date(seconds * 1000).toTimeString().slice(0, end - start < 600 ? 8 : 5);

const STEPS = { bytes: BINARY_STEPS, binBps: BINARY_STEPS };
const MARKS = 5;

/** The time axis of the preview. */
const CLOCK = {
  range: () => [start, end],
  marks: () =>
    Array.from({ length: MARKS }, (_, i) => start + ((end - start) * i) / (MARKS - 1)).map(
      (at) => ({ at, label: clock(at) }),
    ),
  label: clock,
  step: 1,
};

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const legendOf = (format, labels) =>
  format.replaceAll(/\{\{(\w+)\}\}/g, (_, label) => labels[label] ?? '');

/** All series of a panel: the legend, and a value or null for each point in time. */
function linesOf(panel) {
  const moments = Array.from(
    { length: Math.floor((end - start) / step) + 1 },
    (_, i) => start + i * step,
  );
  const lines = panel.answers.flatMap(({ legendFormat, result }) =>
    result.map(({ metric, values }) => {
      const known = new Map(values.map(([at, value]) => [at, Number(value)]));
      return {
        label: legendOf(legendFormat, metric),
        values: moments.map((at) => (Number.isFinite(known.get(at)) ? known.get(at) : null)),
      };
    }),
  );
  return { moments, lines };
}

const last = (values) => values.findLast((value) => value !== null);

function overridesOf(panel, label) {
  const found = {};
  for (const { matcher, properties } of panel.fieldConfig.overrides ?? []) {
    const pattern = /^\/(.+)\/$/.exec(matcher.options)?.[1];
    if (pattern === undefined ? label !== matcher.options : !new RegExp(pattern).test(label))
      continue;
    for (const { id, value } of properties) found[id] = value;
  }
  return found;
}

const titleOf = ({ title }) => title.replace('$lock', 'all locks');

function stat(panel, box) {
  const { lines } = linesOf(panel);
  const value = last(lines[0]?.values ?? []);
  const { unit, thresholds } = panel.fieldConfig.defaults;
  const step = thresholds.steps.findLast((each) => each.value === null || value >= each.value);
  const text = value === undefined ? 'none' : FORMATS[unit](value);
  const shown = element('div', { className: 'stat' }, text);
  shown.style.color = NAMED.includes(step?.color) ? `var(--${step.color})` : 'inherit';
  box.append(shown);
}

function graph(panel, box) {
  const { defaults } = panel.fieldConfig;
  const { moments, lines } = linesOf(panel);
  if (lines.length === 0) return;
  const limit = defaults.thresholds?.steps.find(({ value }) => value !== null)?.value;
  const isStacked = defaults.custom?.stacking?.mode === 'normal';
  const chart = new Chart({
    title: titleOf(panel),
    means: '',
    x: CLOCK,
    sync: 'preview',
    latest: true,
    stacked: isStacked,
    lines: lines.map(({ label }, i) => {
      const override = overridesOf(panel, label);
      const unit = override.unit ?? defaults.unit;
      const named = override.color?.fixedColor;
      const colour = NAMED.includes(named) ? `--${named}` : PALETTE[i % PALETTE.length];
      const isRight = override['custom.axisPlacement'] === 'right';
      return {
        label,
        colour,
        format: FORMATS[unit],
        steps: STEPS[unit],
        right: isRight,
        dashed: override['custom.lineStyle'] !== undefined,
        area: isRight || isStacked,
      };
    }),
    ...(defaults.custom?.scaleDistribution?.type === 'log' ? { logarithmic: true } : {}),
    ...(limit === undefined
      ? {}
      : { limit: { value: limit, label: FORMATS[defaults.unit](limit) } }),
  });
  box.append(chart.figure);
  chart.mount();
  chart.draw(
    moments,
    lines.map(({ values }) => values),
  );
}

function heatmap(panel, box) {
  const { moments, lines } = linesOf(panel);
  const { unit } = panel.fieldConfig.defaults;
  const rows = lines
    .map(({ label, values }) => ({
      bound: label === '+Inf' ? Number.POSITIVE_INFINITY : Number(label),
      values,
    }))
    .sort((a, b) => a.bound - b.bound);
  const canvas = element('canvas', { className: 'plot' });
  box.append(canvas);
  const { clientWidth, clientHeight } = canvas;
  const ratio = devicePixelRatio;
  canvas.width = clientWidth * ratio;
  canvas.height = clientHeight * ratio;
  const ctx = canvas.getContext('2d');
  ctx.scale(ratio, ratio);
  const counts = rows.map(({ values }, row) =>
    values.map((value, at) =>
      Math.max(0, (value ?? 0) - (row === 0 ? 0 : (rows[row - 1].values[at] ?? 0))),
    ),
  );
  const most = Math.max(...counts.flat(), 1e-9);
  const left = 56;
  const bottom = 18;
  const width = (clientWidth - left) / moments.length;
  const height = (clientHeight - bottom) / rows.length;
  ctx.font = '11px system-ui';
  rows.forEach(({ bound }, row) => {
    const y = clientHeight - bottom - (row + 1) * height;
    counts[row].forEach((value, at) => {
      if (value <= 0) return;
      ctx.fillStyle = `rgba(87, 148, 242, ${0.12 + 0.88 * (value / most) ** 0.5})`;
      ctx.fillRect(left + at * width, y, Math.ceil(width), height - 1);
    });
    ctx.fillStyle = '#8e8e9a';
    if (row % 2 === 0) {
      ctx.fillText(Number.isFinite(bound) ? FORMATS[unit](bound) : '+Inf', 2, y + height / 2 + 4);
    }
  });
  for (let i = 0; i <= 3; i += 1) {
    ctx.fillText(
      clock(start + ((end - start) * i) / 4),
      left + ((clientWidth - left) * i) / 4,
      clientHeight - 4,
    );
  }
}

function table(panel, box) {
  const { renameByName = {} } = panel.transformations.find(({ id }) => id === 'organize').options;
  const { unit } = panel.fieldConfig.defaults;
  const rows = panel.answers
    .flatMap(({ result }) => result)
    .map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
    .sort((a, b) => b.value - a.value);
  const labels = Object.keys(rows[0]?.metric ?? {});
  box.append(
    element(
      'table',
      {},
      element(
        'tr',
        {},
        ...labels.map((label) => element('th', {}, label)),
        element('th', { className: 'number' }, renameByName.Value),
      ),
      ...rows.map(({ metric, value }) =>
        element(
          'tr',
          {},
          ...labels.map((label) => element('td', {}, metric[label])),
          element('td', { className: 'number' }, FORMATS[unit](value)),
        ),
      ),
    ),
  );
}

const KINDS = { stat, timeseries: graph, heatmap, table };

for (const panel of panels) {
  const { x, y, w, h } = panel.gridPos;
  const box = element(panel.type === 'row' ? 'h1' : 'section');
  box.style.gridArea = `${y + 1} / ${x + 1} / span ${h} / span ${w}`;
  main.append(box);
  if (panel.type === 'row') box.append(panel.title);
  else {
    if (panel.type !== 'timeseries') box.append(element('h2', {}, titleOf(panel)));
    KINDS[panel.type](panel, box);
  }
}
document.body.dataset.done = 'yes';
