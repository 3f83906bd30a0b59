/**
 * The metrics of roomcast in a registry of the app, beside the app's own. Those of the process are left
 * to the app (`collectDefaultMetrics`). Several roomcasts in one registry are published as one: V10
 * holds for them together, and what a closed one has counted stays counted.
 *
 * A registry asks all metrics before it first awaits, so that what the first of them reads is an
 * instant for all.
 */
import { ConfigError } from '../errors.js';
import { queueMicrotask } from '../time.js';
import { CATALOGUE, type MetricKey } from './catalogue/index.js';
import { ofProcess } from './catalogue/process.js';
import { type Labels, labelledSampler, type Sample } from './series.js';
import { type AllValues, KEYS, together, type Values } from './values.js';

/** What is used of a `Registry` of prom-client, of any version. */
export interface AppRegistry {
  registerMetric(metric: never): void;
  getSingleMetric(name: string): unknown;
  removeSingleMetric(name: string): void;
}

type Read = () => AllValues;

/** What a registry asks a metric. */
interface Answer {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly Sample[];
}

const OURS = KEYS.filter((key) => key === 'buildInfo' || !Object.hasOwn(ofProcess, key));

const members = new WeakMap<AppRegistry, Membership>();

/** @throws ConfigError where a registry has other metrics of these names */
export function checkRegistry(registry: AppRegistry): void {
  if (members.has(registry)) return;
  const taken = OURS.find((key) => registry.getSingleMetric(CATALOGUE[key].name) !== undefined);
  if (taken === undefined) return;
  const allowed = 'one without metrics of these names';
  throw new ConfigError(
    `registry is not allowed: it has a metric ${CATALOGUE[taken].name} already, give ${allowed}`,
    { code: 'bad_option', option: 'registry', allowed },
  );
}

/** From now on the registry has these metrics too, until what this returns is called. */
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
  /** What those that have left have counted. */
  #left = new Map<MetricKey, Values>();
  /** Of this turn of a registry; undefined between two. */
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
    // What is there now is not there any more.
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
      // A registry may give it another name, as that of OpenMetrics does.
      get(this: { readonly name: string }): Answer {
        return { name: this.name, help, type, aggregator: 'sum', values: values() };
      },
      // What is counted elsewhere cannot be put back here.
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
