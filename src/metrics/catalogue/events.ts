/** Metrics of what has thrown and ended nothing: listeners of an app, and callbacks (V12). */
import { EVENTS } from '../../events.js';
import { ERROR_SOURCES } from '../../room/observer.js';
import type { Metric } from './metric.js';

export const events = {
  listenerErrors: {
    name: 'roomcast_listener_errors_total',
    type: 'counter',
    unit: 'errors',
    labels: { event: EVENTS },
    help: 'Times that a listener of the app has thrown, or rejected; the event was handled all the same.',
  },
  survivedErrors: {
    name: 'roomcast_survived_errors_total',
    type: 'counter',
    unit: 'errors',
    labels: { source: ERROR_SOURCES },
    help: 'Errors that were thrown where nobody expects any, and that ended nothing: by a callback of a timer, of the system or of a broker, while a session was served, or by the log of the app. All but the last are in the log.',
  },
} as const satisfies Record<string, Metric>;
