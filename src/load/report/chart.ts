/**
 * A chart as data: the report contains it and its script draws it. Not here: the list of charts
 * (charts.ts), drawing (browser.ts and src/page/chart.ts).
 */

/** The unit of the y values, which determines how they are written, as in the tables. */
export type Unit = 'micros' | 'count' | 'bytes' | 'cores';

export interface Series {
  readonly name: string;
  /** Name of its colour in report.css: `c0`, `c1`, … */
  readonly colour: string;
  readonly dashed?: boolean;
  /** One value per point of x; null leaves a hole. */
  readonly values: readonly (number | null)[];
}

export interface ChartData {
  readonly title: string;
  /** One sentence: what is shown and how to read it. */
  readonly caption: string;
  /** Charts over the same x share one cursor. */
  readonly over: 'percentiles' | 'time';
  readonly x: {
    /** Rising. */
    readonly values: readonly number[];
    readonly ticks: readonly { readonly at: number; readonly label: string }[];
    /** Name of each point. */
    readonly labels: readonly string[];
  };
  readonly y: { readonly scale: 'log' | 'linear'; readonly unit: Unit };
  readonly series: readonly Series[];
  /** Ranges of x to shade, such as the slow phase. */
  readonly bands?: readonly {
    readonly from: number;
    readonly to: number;
    readonly label: string;
  }[];
}

/** Charts by their place in the report. */
export type Charts = Readonly<Record<string, readonly ChartData[]>>;
