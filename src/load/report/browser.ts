/**
 * The script of the HTML report: draws the charts with the chart component of the live page. The build
 * bundles it with uPlot into one file, which html.ts writes into the report.
 */
import type { XAxis } from '../../page/axes.js';
import { Chart } from '../../page/chart.js';
import { formatBytes, formatCount, formatMicros } from '../units.js';
import type { ChartData, Charts, Unit } from './chart.js';

const FORMATS: Record<Unit, (value: number) => string> = {
  micros: formatMicros,
  count: formatCount,
  bytes: formatBytes,
  cores: (value) => String(Number(value.toFixed(3))),
};

function axisOf({ values, ticks, labels }: ChartData['x']): XAxis {
  return {
    range: () => [values[0] ?? 0, values.at(-1) ?? 1],
    marks: () => ticks,
    label: (value) => labels[values.indexOf(value)] ?? '',
    step: 1,
  };
}

function draw(data: ChartData, parent: Element): void {
  const chart = new Chart({
    title: data.title,
    means: data.caption,
    lines: data.series.map(({ name, colour, dashed = false }) => ({
      label: name,
      colour: `--${colour}`,
      format: FORMATS[data.y.unit],
      dashed,
    })),
    x: axisOf(data.x),
    sync: data.over,
    bands: data.bands ?? [],
    ...(data.y.scale === 'log' ? { logarithmic: true } : {}),
  });
  parent.append(chart.figure);
  chart.mount();
  chart.draw(
    data.x.values,
    data.series.map(({ values }) => values),
  );
}

const charts = JSON.parse(document.getElementById('charts')?.textContent ?? '{}') as Charts;
for (const [place, all] of Object.entries(charts)) {
  const parent = document.getElementById(`charts-${place}`);
  for (const data of all) if (parent) draw(data, parent);
}
