/** Metrics of the listeners of an app. */
import { EVENTS } from '../../events.js';
import type { Metric } from './metric.js';

export const events = {
  listenerErrors: {
    name: 'roomcast_listener_errors_total',
    type: 'counter',
    unit: 'errors',
    labels: { event: EVENTS },
    help: 'Times that a listener of the app has thrown, or rejected; the event was handled all the same.',
  },
} as const satisfies Record<string, Metric>;
