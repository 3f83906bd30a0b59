/**
 * Every metric of roomcast: the only place where a name, a type, a unit, a label, a bucket or a help
 * text is written, each in the file of its owner. The registry, the dashboard, the alert rules, the
 * docs and the tests read it here.
 *
 * Owns V9: a label takes its values from fixed sets, and every combination is exported from the first
 * scrape on, so that the number of series never depends on who is connected.
 * Pure data. Not here: counting (`recorder.ts`), publishing (`registry.ts`).
 */
import { connections } from './connections.js';
import { delivery } from './delivery.js';
import { events } from './events.js';
import { locks } from './locks.js';
import { members } from './members.js';
import { ofProcess } from './process.js';

export const CATALOGUE = {
  ...delivery,
  ...members,
  ...connections,
  ...events,
  ...locks,
  ...ofProcess,
};

export type MetricKey = keyof typeof CATALOGUE;
