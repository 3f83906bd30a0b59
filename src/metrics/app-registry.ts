/**
 * Exposes the metrics of roomcast in a registry of the app, next to the app's own. Process metrics are
 * left to the app (`collectDefaultMetrics`). Several roomcasts in one registry are exposed as one: V10
 * holds for their sum, and the counts of a closed one stay in it.
 *
 * A registry calls all metrics synchronously before its first await, so one reading serves the whole scrape.
 */
import { ConfigError } from '../errors.js';
import { queueMicrotask } from '../time.js';
import { CATALOGUE, type MetricKey } from './catalogue/index.js';
import { ofProcess } from './catalogue/process.js';
import { type Labels, labelledSampler, type Sample } from './series.js';
import { type AllValues, KEYS, together, type Values } from './values.js';

/** The part of a prom-client `Registry`, of any version, that is used here. */
export interface AppRegistry {
  registerMetric(metric: never): void;
  getSingleMetric(name: string): unknown;
  removeSingleMetric(name: string): void;
}

type Read = () => AllValues;

/** What a registry expects from a metric's `get`. */
interface Answer {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly Sample[];
}

const OURS = KEYS.filter((key) => key === 'buildInfo' || !Object.hasOwn(ofProcess, key));

const members = new WeakMap<AppRegistry, Membership>();

/** @throws ConfigError if the registry already has a different metric with one of these names */
export function checkRegistry(registry: AppRegistry): void {
  if (members.has(registry)) return;
  const taken = OURS.find((key) => registry.getSingleMetric(CATALOGUE[key].name) !== undefined);
  if (taken === undefined) return;
  const allowed = 'one without metrics of these names';
  throw new ConfigError(
    `registry is not allowed: it already has a metric ${CATALOGUE[taken].name}; give ${allowed}`,
    { code: 'bad_option', option: 'registry', allowed },
  );
}

/** Adds the metrics to the registry; returns a function that removes them. */
export function join(registry: AppRegistry, read: Read, constants: Labels): () => void {
  let membership = members.get(registry);
  if (membership === undefined) {
    membership = new Membership(registry, constants);
    members.set(registry, membership);
  }
  return membership.add(read);
}

class Membership {
  readonly #registry: AppRegistry;
  readonly #reads = new Set<Read>();
  /** Counts of the roomcasts that have left. */
  #left = new Map<MetricKey, Values>();
  /** The readings of the scrape in progress; undefined between scrapes. */
  #now: readonly AllValues[] | undefined;

  constructor(registry: AppRegistry, constants: Labels) {
    this.#registry = registry;
    for (const key of OURS) registry.registerMetric(this.#metric(key, constants) as never);
  }

  add(read: Read): () => void {
    this.#reads.add(read);
    return () => {
      if (!this.#reads.has(read)) return;
      const last = read();
      this.#reads.delete(read);
      if (this.#reads.size === 0) this.#end();
      else for (const key of OURS) this.#keep(key, last[key]);
    };
  }

  #keep(key: MetricKey, values: Values): void {
    // The gauges of a closed roomcast are gone.
    if (CATALOGUE[key].type === 'gauge') return;
    const before = this.#left.get(key);
    this.#left.set(key, together(key, before === undefined ? [values] : [before, values]));
  }

  #end(): void {
    members.delete(this.#registry);
    for (const key of OURS) this.#registry.removeSingleMetric(CATALOGUE[key].name);
  }

  #metric(key: MetricKey, constants: Labels): object {
    const { name, help, type } = CATALOGUE[key];
    const samples = labelledSampler(CATALOGUE[key], constants);
    const values = () => samples(this.#values(key));
    return {
      name,
      help,
      type,
      // A registry may rename it, as the OpenMetrics registry does.
      get(this: { readonly name: string }): Answer {
        return { name: this.name, help, type, aggregator: 'sum', values: values() };
      },
      // The values are owned elsewhere and cannot be reset here.
      reset() {},
    };
  }

  #values(key: MetricKey): Values {
    if (this.#now === undefined) {
      this.#now = Array.from(this.#reads, (read) => read());
      queueMicrotask(() => {
        this.#now = undefined;
      });
    }
    const left = this.#left.get(key);
    const current = this.#now.map((all) => all[key]);
    return together(key, left === undefined ? current : [...current, left]);
  }
}
