/** What the catalogue says of a metric. */

export interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Of one value, in the words of Prometheus: base units, or what is counted. */
  readonly unit: string;
  /** The values of each label, or `null` for a label with one value a process, or one a worker. */
  readonly labels: Readonly<Record<string, readonly string[] | null>>;
  /** Upper bounds of a histogram, ascending, without the last one, +Inf. */
  readonly buckets?: readonly number[];
  readonly help: string;
  /**
   * What several roomcasts come to: their sum, unless it is said. `ranks`: the values are the highest
   * of many, in descending order.
   */
  readonly aggregate?: 'max' | 'ranks';
}
