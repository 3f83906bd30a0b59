/** The definition of a metric. */

export interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Unit of a value, in the terms of Prometheus: a base unit, or the thing counted. */
  readonly unit: string;
  /** The values of each label, or `null` for a label with one value per process or per worker. */
  readonly labels: Readonly<Record<string, readonly string[] | null>>;
  /** Upper bounds of a histogram, ascending, without the last one, +Inf. */
  readonly buckets?: readonly number[];
  readonly help: string;
  /**
   * How the values of several roomcasts are merged. Default: summed. `ranks`: the values are the highest
   * of many, in descending order.
   */
  readonly aggregate?: 'max' | 'ranks';
}
