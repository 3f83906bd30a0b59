/** Positions the panels: left to right in lines of 24 columns, row by row. */
import { type Panel as BuiltPanel, RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Panel } from './panels.js';

const COLUMNS = 24;

export interface Row {
  /** A multiple of 100; its panels' ids follow it. */
  readonly id: number;
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** All panels in reading order, including the row headings. */
export function lay(rows: readonly Row[]): BuiltPanel[] {
  let y = 0;
  return rows.flatMap(({ id, title, panels }) => {
    const heading = new RowBuilder(title).id(id).gridPos({ x: 0, y, w: COLUMNS, h: 1 }).build();
    y += 1;
    let x = 0;
    let height = 0;
    const built = panels.map((panel) => {
      if (x + panel.width > COLUMNS) {
        x = 0;
        y += height;
        height = 0;
      }
      const place = { x, y, w: panel.width, h: panel.height };
      x += panel.width;
      height = Math.max(height, panel.height);
      return panel.build(place);
    });
    y += height;
    return [heading as BuiltPanel, ...built];
  });
}
