/** Options of the log. */
import { choice } from './schema.js';

const LOG = 'Log';

const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const FORMATS = ['auto', 'json', 'text'] as const;

export const log = {
  logLevel: choice('info', LEVELS, {
    group: LOG,
    unit: 'level',
    description: 'The least severe level to log.',
  }),
  logFormat: choice('auto', FORMATS, {
    group: LOG,
    unit: 'format',
    description: 'json: one object per line; text: for people; auto: text on a terminal.',
  }),
};
