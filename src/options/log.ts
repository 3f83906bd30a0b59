/** Options of the log. */
import { choice } from './schema.js';

const LOG = 'Log';

const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const FORMATS = ['auto', 'json', 'text'] as const;

export const log = {
  logLevel: choice('info', LEVELS, {
    group: LOG,
    unit: 'level',
    description: 'The least important lines to log.',
  }),
  logFormat: choice('auto', FORMATS, {
    group: LOG,
    unit: 'format',
    description: 'JSON, one object a line, or text for people; auto: text on a terminal.',
  }),
};
