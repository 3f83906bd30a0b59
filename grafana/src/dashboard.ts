/**
 * The Grafana dashboard: variables, annotations, links and eleven rows. Emits the classic JSON that
 * Grafana 10 and later load.
 */
import {
  AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { CATALOGUE } from '../../src/metrics/catalogue/index.js';
import { lay } from './layout.js';
import { SERVER } from './links.js';
import { DATASOURCE } from './panels.js';
import { PANEL, select } from './promql.js';
import { broker } from './rows/broker.js';
import { connections } from './rows/connections.js';
import { health } from './rows/health.js';
import { identity } from './rows/identity.js';
import { isolation } from './rows/isolation.js';
import { locks } from './rows/locks.js';
import { loss } from './rows/loss.js';
import { members } from './rows/members.js';
import { nodeProcess } from './rows/process.js';
import { recovery } from './rows/recovery.js';
import { traffic } from './rows/traffic.js';

const ROWS = [
  { id: 100, title: 'Health', panels: health },
  { id: 200, title: 'Isolation: one slow member never slows anyone else', panels: isolation },
  { id: 300, title: 'Locks', panels: locks },
  { id: 400, title: 'Members', panels: members },
  { id: 500, title: 'Traffic', panels: traffic },
  { id: 600, title: 'Loss: nothing is lost without saying so', panels: loss },
  { id: 900, title: 'Recovery and history', panels: recovery },
  { id: 700, title: 'Connections', panels: connections },
  { id: 1000, title: 'Identity and presence', panels: identity },
  { id: 1100, title: 'Broker and nodes', panels: broker },
  { id: 800, title: 'Node process', panels: nodeProcess },
];

/** A multi-value variable; `query` returns its values. */
function chosen(name: string, label: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ query, refId: `Variable-${name}` })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.+')
    .current({ selected: true, text: 'All', value: '$__all' });
}

function link(title: string, url: string, tooltip: string): DashboardLinkBuilder {
  return new DashboardLinkBuilder(title)
    .type(DashboardLinkType.Link)
    .icon('external link')
    .url(url)
    .tooltip(tooltip)
    .targetBlank(true);
}

/** The content of `dashboards/roomcast.json`. */
export function dashboard(): Dashboard {
  const started = select(PANEL, 'processStartTimeSeconds');
  const built = new DashboardBuilder('roomcast')
    .uid('roomcast')
    .description('Do slow members delay others, which lock is held for how long, and what to do.')
    .tags(['roomcast'])
    .readonly()
    .refresh('10s')
    .time({ from: 'now-30m', to: 'now' })
    .tooltip(DashboardCursorSync.Crosshair)
    .withVariable(
      new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'),
    )
    .withVariable(chosen('job', 'job', `label_values(${CATALOGUE.buildInfo.name}, job)`))
    .withVariable(
      chosen(
        'instance',
        'instance',
        `label_values(${CATALOGUE.buildInfo.name}{job=~"$job"}, instance)`,
      ),
    )
    .withVariable(
      chosen(
        'lock',
        'lock',
        `label_values(${select(PANEL, 'lockHoldSeconds', { suffix: '_count' })}, lock)`,
      ),
    )
    .withVariable(
      new TextBoxVariableBuilder('roomcast')
        .label('roomcast at')
        .description('Address at which your browser reaches a server; used by the links.')
        .defaultValue('http://localhost:8080'),
    )
    .annotation(
      new AnnotationQueryBuilder()
        .name('Restarts')
        .datasource(DATASOURCE)
        .enable(true)
        .iconColor('purple')
        .expr(`changes(${started}[$__rate_interval]) > 0`)
        .titleFormat('Restart')
        .textFormat('{{instance}}'),
    )
    .annotation(
      new AnnotationQueryBuilder()
        .name('Alerts')
        .datasource(DATASOURCE)
        .enable(true)
        .iconColor('red')
        .expr(
          'ALERTS{alertname=~"Roomcast.+", alertstate="firing", job=~"$job", instance=~"$instance"}',
        )
        .titleFormat('{{alertname}}')
        .textFormat('{{instance}} {{lock}}'),
    )
    .link(link('Live page', SERVER, 'The last 15 minutes of one server, second by second'))
    .link(link('Runbook', `${SERVER}/runbook`, 'What to do about each alert'))
    .link(link('Members', `${SERVER}/v1/members?sort=lag`, 'The members furthest behind'))
    .build();
  return { ...built, panels: lay(ROWS) };
}
