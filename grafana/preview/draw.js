/** Draws the panels, in the browser of `preview.mjs`: stats, graphs, heatmaps and tables. */
/* global uPlot */

const { panels, start, end, step } = JSON.parse(document.getElementById('data').textContent);
const main = document.querySelector('main');

const PALETTE = [
  '#73bf69',
  '#f2cc0c',
  '#8ab8ff',
  '#ff780a',
  '#f2495c',
  '#5794f2',
  '#b877d9',
  '#37872d',
];
const NAMED = { blue: '#5794f2', orange: '#ff9830', red: '#f2495c', green: '#73bf69' };

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

/** Of a moment, short enough to stand beside others. */
const clock = (seconds) =>
  new Date(seconds * 1000).toTimeString().slice(0, end - start < 600 ? 8 : 5);

const BINARY = { incrs: Array.from({ length: 44 }, (_, i) => 2 ** i) };
const STEPS = { bytes: BINARY, binBps: BINARY };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const legendOf = (format, labels) =>
  format.replaceAll(/\{\{(\w+)\}\}/g, (_, label) => labels[label] ?? '');

/** All series of a panel: their legend, and a number or null for each moment. */
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

function stat(panel, box) {
  const { lines } = linesOf(panel);
  const value = last(lines[0]?.values ?? []);
  const { unit, thresholds } = panel.fieldConfig.defaults;
  const step = thresholds.steps.findLast((each) => each.value === null || value >= each.value);
  const text = value === undefined ? 'none' : FORMATS[unit](value);
  const shown = element('div', { className: 'stat' }, text);
  shown.style.color = NAMED[step?.color] ?? 'inherit';
  box.append(shown);
}

function graph(panel, box) {
  const { defaults } = panel.fieldConfig;
  const { moments, lines } = linesOf(panel);
  const isLog = defaults.custom?.scaleDistribution?.type === 'log';
  const isStacked = defaults.custom?.stacking?.mode === 'normal';
  const plot = element('div', { className: 'plot' });
  const legend = element('ul');
  box.append(plot, legend);
  let stack = moments.map(() => 0);
  const series = lines.map(({ label, values }, i) => {
    const override = overridesOf(panel, label);
    const color = NAMED[override.color?.fixedColor] ?? PALETTE[i % PALETTE.length];
    const unit = override.unit ?? defaults.unit;
    const final = last(values);
    const swatch = element('i');
    const height = (override['custom.lineWidth'] ?? 1) + 1;
    swatch.style.borderTop = `${height}px ${override['custom.lineStyle'] ? 'dashed' : 'solid'} ${color}`;
    legend.append(
      element('li', {}, swatch, `${label} ${final === undefined ? '' : FORMATS[unit](final)}`),
    );
    if (isStacked) {
      stack = stack.map((sum, at) => sum + (values[at] ?? 0));
      values = [...stack];
    }
    if (isLog) values = values.map((value) => (value === null || value <= 0 ? null : value));
    return {
      values,
      color,
      unit,
      isRight: override['custom.axisPlacement'] === 'right',
      dash: override['custom.lineStyle']?.dash,
      width: override['custom.lineWidth'] ?? defaults.custom.lineWidth,
    };
  });
  const limit = defaults.thresholds?.steps.find(({ value }) => value !== null)?.value;
  const style = {
    stroke: '#8e8e9a',
    font: '11px system-ui',
    grid: { stroke: '#25262e' },
    ticks: { show: false },
  };
  const right = series.find(({ isRight }) => isRight);
  new uPlot(
    {
      width: plot.clientWidth,
      height: plot.clientHeight,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        y: isLog
          ? {
              distr: 3,
              range: (_, low, high) => [
                10 ** Math.floor(Math.log10(low)),
                10 ** Math.ceil(Math.log10(high)),
              ],
            }
          : {
              range: (_, low, high) => [
                Math.min(0, low ?? 0),
                defaults.max ?? ((high ?? 0) * 1.1 || 1),
              ],
            },
        right: { range: (_, __, high) => [0, Math.max(1, (high ?? 0) * 1.1)] },
      },
      axes: [
        { ...style, size: 22, space: 80, values: (_, splits) => splits.map(clock) },
        {
          ...style,
          ...STEPS[defaults.unit],
          size: 64,
          values: (_, splits) =>
            splits.map((value) => (value === null ? '' : FORMATS[defaults.unit](value))),
        },
        ...(right
          ? [
              {
                ...style,
                scale: 'right',
                side: 1,
                size: 40,
                grid: { show: false },
                values: (_, splits) => splits.map((value) => FORMATS[right.unit](value)),
              },
            ]
          : []),
      ],
      series: [
        {},
        ...series.map(({ color, isRight, dash, width }) => ({
          stroke: color,
          width,
          dash,
          points: { show: false },
          scale: isRight ? 'right' : 'y',
          fill: isRight || isStacked ? `${color}33` : undefined,
        })),
      ],
      hooks: {
        drawClear: [(u) => shade(u, limit)],
      },
    },
    [moments, ...series.map(({ values }) => values)],
    plot,
  );
}

/** The line and the area of a threshold. */
function shade(plot, limit) {
  const top = plot.scales.y.max;
  if (limit === undefined || !(limit < top)) return;
  const { ctx, bbox } = plot;
  const y = plot.valToPos(limit, 'y', true);
  ctx.save();
  ctx.fillStyle = '#f2495c1a';
  ctx.fillRect(bbox.left, bbox.top, bbox.width, y - bbox.top);
  ctx.fillStyle = '#f2495c';
  ctx.fillRect(bbox.left, y, bbox.width, 1);
  ctx.restore();
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
    box.append(element('h2', {}, panel.title.replace('$lock', 'all locks')));
    KINDS[panel.type](panel, box);
  }
}
document.body.dataset.done = 'yes';
