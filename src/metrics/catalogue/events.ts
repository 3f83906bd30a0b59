/** Metrics of errors in the app's listeners and in callbacks, none of which ended anything (V12). */
import { EVENTS } from '../../events.js';
import { ERROR_SOURCES } from '../../room/observer.js';
import type { Metric } from './metric.js';

export const events = {
  listenerErrors: {
    name: 'roomcast_listener_errors_total',
    type: 'counter',
    unit: 'errors',
    labels: { event: EVENTS },
    help: 'Times that a listener of the app threw or rejected; the server handled the event regardless.',
  },
  survivedErrors: {
    name: 'roomcast_survived_errors_total',
    type: 'counter',
    unit: 'errors',
    labels: { source: ERROR_SOURCES },
    help: 'Unexpected errors that were caught and ended nothing: in a callback of a timer, of the system or of a broker, in a session, or in the log of the app. All but the last kind are logged.',
  },
} as const satisfies Record<string, Metric>;
