/** The generated files by their path below `grafana/`, as they are committed. */
import { stringify } from 'yaml';
import { rules } from './alerts.js';
import { dashboard } from './dashboard.js';

const GENERATED =
  '# Made by `npm run grafana:build` from grafana/src/alerts.ts: change it there.\n';

export function files(): Record<string, string> {
  return {
    'dashboards/roomcast.json': `${JSON.stringify(dashboard(), null, 2)}\n`,
    'prometheus/rules/roomcast.yml': GENERATED + stringify(rules(), { lineWidth: 0 }),
  };
}
