/**
 * A chart of a report as data, which the report carries and its script draws. Not here: which charts
 * there are (charts.ts), drawing (browser.ts and src/page/chart.ts).
 */

/** What values along y are, and so how they are written: as in the tables. */
export type Unit = 'micros' | 'count' | 'bytes' | 'cores';

export interface Series {
  readonly name: string;
  /** Name of its colour in report.css: `c0`, `c1`, … */
  readonly colour: string;
  readonly dashed?: boolean;
  /** One value a point of x; null leaves a hole. */
  readonly values: readonly (number | null)[];
}

export interface ChartData {
  readonly title: string;
  /** One sentence: what is shown and how to read it. */
  readonly caption: string;
  /** Charts over the same x have one cursor. */
  readonly over: 'percentiles' | 'time';
  readonly x: {
    /** Rising. */
    readonly values: readonly number[];
    readonly ticks: readonly { readonly at: number; readonly label: string }[];
    /** How each point is called. */
    readonly labels: readonly string[];
  };
  readonly y: { readonly scale: 'log' | 'linear'; readonly unit: Unit };
  readonly series: readonly Series[];
  /** Parts of x to shade, such as the slow phase. */
  readonly bands?: readonly {
    readonly from: number;
    readonly to: number;
    readonly label: string;
  }[];
}

/** What a report's script is given: charts by the place where they stand. */
export type Charts = Readonly<Record<string, readonly ChartData[]>>;
