/** The generated files by their path in the repository, as they are committed. */
import { stringify } from 'yaml';
import { rules } from './alerts.js';
import { dashboard } from './dashboard.js';

const GENERATED =
  '# Made by `npm run grafana:build` from grafana/src/alerts.ts: change it there.\n';

export function files(): Record<string, string> {
  const ofPrometheus = GENERATED + stringify(rules(), { lineWidth: 0 });
  return {
    'grafana/dashboards/roomcast.json': `${JSON.stringify(dashboard(), null, 2)}\n`,
    'grafana/prometheus/rules/roomcast.yml': ofPrometheus,
    'deploy/helm/roomcast/files/rules.yml': ofPrometheus,
  };
}
