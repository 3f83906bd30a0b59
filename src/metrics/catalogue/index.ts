/**
 * Every metric of roomcast: the only place that defines a name, a type, a unit, a label, a bucket or a help
 * text, each in the file of its owner. The registry, the dashboard, the alert rules, the docs and the tests
 * use it.
 *
 * Owns V9: a label takes its values from fixed sets, and every combination is exported from the first
 * scrape on, so that the number of series never depends on the clients connected.
 * Pure data. Not here: counting (`recorder.ts`), exposition (`registry.ts`).
 */
import { broker } from './broker.js';
import { collectors } from './collectors.js';
import { connections } from './connections.js';
import { delivery } from './delivery.js';
import { events } from './events.js';
import { history } from './history.js';
import { identity } from './identity.js';
import { locks } from './locks.js';
import { members } from './members.js';
import { presence } from './presence.js';
import { ofProcess } from './process.js';
import { redis } from './redis.js';
import { workers } from './workers.js';

/** Metrics by the part of a server that they are read from, in the order of a scrape. */
export const OWNERS = {
  delivery,
  members,
  connections,
  history,
  identity,
  presence,
  broker,
  redis,
  events,
  locks,
  workers,
  process: ofProcess,
  collectors,
};

export type Owner = keyof typeof OWNERS;

export const CATALOGUE = {
  ...delivery,
  ...members,
  ...connections,
  ...history,
  ...identity,
  ...presence,
  ...broker,
  ...redis,
  ...events,
  ...locks,
  ...workers,
  ...ofProcess,
  ...collectors,
};

export type MetricKey = keyof typeof CATALOGUE;
