/** The rules of Grafana's dashboard-linter, and our own, applied to the committed dashboard. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ALERTS } from '../../grafana/src/alerts.js';
import { files } from '../../grafana/src/files.js';
import { anchor, SERVER } from '../../grafana/src/links.js';
import { DATASOURCE } from '../../grafana/src/panels.js';
import { THRESHOLDS } from '../../grafana/src/thresholds.js';
import { CATALOGUE } from '../../src/metrics/catalogue/index.js';
import { type Selector, selectors, syntaxError } from './promql.js';
import { dashboard, filledIn, panels, queries, seriesNames } from './support.js';

const ROOT = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, ROOT), 'utf8');

/** Series that Prometheus creates itself. */
const BUILT_IN = ['ALERTS', 'up'];
const variables = dashboard.templating.list;
const names = variables.map(({ name }) => name);
/** Variables built into Grafana. */
const GLOBAL = ['__rate_interval', '__all'];

/** Names of the variables used in a text. */
const referred = (text: string) =>
  Array.from(text.matchAll(/\$\{?([a-z_]\w*)(?::\w+)?\}?/g), ([, name]) => name as string);

it.each(Object.entries(files()))('%s is up to date with the code', (path, text) => {
  expect(read(path)).toBe(text);
});

describe('the dashboard', () => {
  it('has a fixed identity, and cannot be edited in place', () => {
    expect(dashboard.uid).toBe('roomcast');
    expect(dashboard.editable).toBe(false);
  });

  it('has the data source as a variable', () => {
    expect(variables[0]).toMatchObject({
      name: 'datasource',
      type: 'datasource',
      label: 'Data source',
      query: 'prometheus',
    });
  });

  it.each(['job', 'instance', 'lock'])(
    'has the variable %s, with multiple values and All',
    (name) => {
      const variable = variables.find((each) => each.name === name)!;
      expect(variable).toMatchObject({
        type: 'query',
        label: name,
        multi: true,
        includeAll: true,
        allValue: '.+',
        refresh: 2,
        datasource: DATASOURCE,
      });
      const { query } = variable.query as { query: string };
      const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(query) ?? [];
      expect(syntaxError(selector!)).toBeUndefined();
      expect(label).toBe(name);
      expect(selectors(selector!).map(({ metric }) => seriesNames.has(metric))).toEqual([true]);
    },
  );

  it('uses no undefined variable', () => {
    for (const name of referred(JSON.stringify(dashboard))) {
      expect([...names, ...GLOBAL]).toContain(name);
    }
  });

  it('links to existing paths', () => {
    const paths = ['', '/runbook', '/v1/members?sort=lag', '/v1/members?sort=queue'];
    const links = [...dashboard.links, ...panels.flatMap((panel) => panel.links ?? [])];
    expect(links.length).toBeGreaterThan(3);
    for (const { url } of links) expect(paths).toContain(url.replace(SERVER, ''));
  });

  it('has eleven rows and unique ids', () => {
    expect(dashboard.panels.filter(({ type }) => type === 'row')).toHaveLength(11);
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.every((id) => Number.isInteger(id) && id > 0)).toBe(true);
  });

  it('has no overlapping panels', () => {
    const taken = new Map<string, number>();
    for (const { id, gridPos } of dashboard.panels) {
      const { x, y, w, h } = gridPos;
      expect(x + w).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column += 1) {
        for (let line = y; line < y + h; line += 1) {
          expect(taken.get(`${column},${line}`), `${id} at ${column},${line}`).toBeUndefined();
          taken.set(`${column},${line}`, id);
        }
      }
    }
  });

  it('shows every metric of the catalogue, except for a reason', () => {
    const drawn = new Set(
      queries.flatMap(({ expr }) =>
        selectors(filledIn(expr, '5m')).map(({ metric }) => seriesNames.get(metric)?.name),
      ),
    );
    const missing = Object.values(CATALOGUE).filter(({ name }) => !drawn.has(name));
    expect(missing.map(({ name }) => name).sort()).toEqual([
      // Used by the variables and the restart annotation.
      'process_start_time_seconds',
      'roomcast_build_info',
      // A bug in roomcast; has an alert and a log line.
      'roomcast_collector_errors_total',
      // A bug in the app; has a log line.
      'roomcast_listener_errors_total',
      // The oldest hold and wait are more useful.
      'roomcast_lock_holders',
      // Logged as text.
      'roomcast_lock_reports_total',
      'roomcast_lock_waiters',
      // Logged, and 0 unless the server is full or under attack.
      'roomcast_sockets_refused_total',
      // A bug in roomcast or in an object passed by the app; has a log line.
      'roomcast_survived_errors_total',
    ]);
  });
});

describe.each(panels.map((panel) => [panel.title, panel] as const))('panel %s', (_, panel) => {
  it('has a title, a unit and the selected data source', () => {
    expect(panel.title).not.toBe('');
    expect(panel.fieldConfig.defaults.unit).toMatch(/^\w+$/);
    expect(panel.datasource).toEqual(DATASOURCE);
    for (const { datasource } of panel.targets) expect(datasource.uid).toBe(DATASOURCE.uid);
  });

  it('describes what it shows, what is normal and what to do first, and links to the runbook', () => {
    const [means, normal, first, link, ...more] = panel.description.split('\n\n');
    expect(more).toEqual([]);
    expect(means!.length).toBeGreaterThan(30);
    expect(normal).toMatch(/^\*\*Normal:\*\* ./);
    expect(first).toMatch(/^\*\*First:\*\* ./);
    const [, heading, target] = /^\[Runbook: (\w+)\]\(.+#([\w-]+)\)$/.exec(link!) ?? [];
    expect(read('docs/runbook.md')).toContain(`\n## ${heading}\n`);
    expect(target).toBe(anchor(heading!));
  });

  it('has queries with unique ids', () => {
    const ids = panel.targets.map(({ refId }) => refId);
    expect(ids.length).toBeGreaterThan(0);
    expect(new Set(ids).size).toBe(ids.length);
  });

  if (panel.type === 'heatmap') {
    it('uses the buckets as they are, with a unit on the axis', () => {
      expect(panel.options).toMatchObject({ calculate: false, yAxis: { unit: 's' } });
      expect(panel.targets[0]).toMatchObject({ format: 'heatmap', legendFormat: '{{le}}' });
    });
  }

  it('has overrides for existing legends', () => {
    for (const { matcher } of panel.fieldConfig.overrides) {
      const pattern = /^\/(.+)\/$/.exec(matcher.options)?.[1];
      const legends = panel.targets.map(({ legendFormat }) => legendFormat);
      const isAny = legends.some((legend) => legend.startsWith('{{'));
      const isThere = legends.some((legend) =>
        pattern === undefined ? legend === matcher.options : new RegExp(pattern).test(legend),
      );
      expect(isAny || isThere, matcher.options).toBe(true);
    }
  });
});

describe.each(queries.map(({ name, ...query }) => [name, query] as const))(
  'query %s',
  (name, { panel, target, expr }) => {
    /** Uses totals, not rates, since it shows a difference of totals. */
    const isAccounting = panel.title === 'Accounting difference';
    const found: Selector[] = selectors(filledIn(expr, '5m'));

    it('is PromQL', () => {
      expect(syntaxError(filledIn(expr, '5m'))).toBeUndefined();
      expect(found.length).toBeGreaterThan(0);
    });

    it('uses metrics and labels of the catalogue', () => {
      for (const { metric, matchers } of found) {
        if (BUILT_IN.includes(metric)) continue;
        const known = seriesNames.get(metric);
        expect(known, metric).toBeDefined();
        for (const matcher of matchers) {
          const [, label, value] = /^(\w+)[=!~]+"(.*)"$/.exec(matcher) ?? [];
          if (label === 'job' || label === 'instance') continue;
          expect(Object.keys(known!.labels)).toContain(label);
          const values = known!.labels[label!];
          if (!value!.startsWith('.') && values) expect(values).toContain(value);
        }
      }
    });

    it('groups by existing labels, and uses only those in legends', () => {
      const labels = [
        'job',
        'instance',
        'le',
        ...found.flatMap(({ metric }) => Object.keys(seriesNames.get(metric)?.labels ?? {})),
      ];
      const kept = Array.from(expr.matchAll(/\bby \(([^)]+)\)/g), ([, list]) => list!.split(', '));
      for (const label of kept.flat()) expect(labels).toContain(label);
      for (const [, label] of target.legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        expect(kept.flat(), name).toContain(label);
      }
    });

    it('selects the chosen job and instances', () => {
      for (const { matchers } of selectors(expr.replaceAll('$__rate_interval', '5m'))) {
        expect(matchers).toContain('job=~"$job"');
        expect(matchers).toContain('instance=~"$instance"');
      }
    });

    it('takes rates of counters over the interval that Grafana gives', () => {
      for (const [, range] of expr.matchAll(/\[([^\]]+)\]/g))
        expect(range).toBe('$__rate_interval');
      for (const { metric, range, function: called } of found) {
        const isCounter = /_(total|bucket|sum|count)$/.test(metric) && seriesNames.has(metric);
        if (isCounter && !isAccounting) expect(['rate', 'increase']).toContain(called);
        if (called === 'rate' || called === 'increase') {
          expect(isCounter, metric).toBe(true);
          expect(range).toBe('5m');
        }
      }
    });
  },
);

describe('thresholds', () => {
  const stepsOf = (title: string) =>
    panels
      .find((panel) => panel.title === title)!
      .fieldConfig.defaults.thresholds!.steps.map(({ value }) => value)
      .filter((value) => value !== null);

  it.each([
    ['Healthy p99', 'RoomcastIsolationBroken', THRESHOLDS.healthyP99Seconds],
    ['Healthy p99 while members are slow', 'RoomcastIsolationBroken', THRESHOLDS.healthyP99Seconds],
    ['Worst lock hold p99', 'RoomcastLockHeldTooLong', THRESHOLDS.lockHoldP99Seconds],
    ['Hold time p99', 'RoomcastLockHeldTooLong', THRESHOLDS.lockHoldP99Seconds],
    ['Time lost to locks', 'RoomcastLockSaturated', THRESHOLDS.lockBlocked],
    ['Queue memory', 'RoomcastQueueMemoryHigh', THRESHOLDS.queueMemoryRatio],
    ['Drop ratio', 'RoomcastDropsHigh', THRESHOLDS.dropRatio],
    ['Churn', 'RoomcastConnectionChurn', THRESHOLDS.churnRatio],
    ['Limit usage', 'RoomcastAlmostFull', THRESHOLDS.fullRatio],
    ['Limit usage', 'RoomcastRoomsAlmostFull', THRESHOLDS.fullRatio],
    ['History memory', 'RoomcastHistoryMemoryHigh', THRESHOLDS.historyMemoryRatio],
    ['Invalid token ratio', 'RoomcastTokensInvalid', THRESHOLDS.invalidTokenRatio],
    ['Expired tokens', 'RoomcastExpiriesHigh', THRESHOLDS.expiryRatio],
    ['Redis lag', 'RoomcastBrokerLag', THRESHOLDS.brokerLagSeconds],
    ['Event loop lag', 'RoomcastEventLoopLag', THRESHOLDS.eventLoopLagP99Seconds],
  ])('of %s equal those of %s', (title, name, threshold) => {
    expect(stepsOf(title)).toEqual([threshold]);
    expect(ALERTS.find((alert) => alert.name === name)!.is).toBe(`> ${threshold}`);
  });
});

describe('the runbook', () => {
  const text = read('docs/runbook.md');

  it('has a section for each alert, and no other', () => {
    const headings = Array.from(text.matchAll(/^## (.+)$/gm), ([, heading]) => heading);
    expect(headings.sort()).toEqual(ALERTS.map(({ name }) => name).sort());
  });

  it('has valid internal links', () => {
    for (const [, target] of text.matchAll(/\]\(#([\w-]+)\)/g)) {
      expect(ALERTS.map(({ name }) => anchor(name))).toContain(target);
    }
  });

  it('names existing panels and options', async () => {
    const { options } = await import('../../src/options/index.js');
    const flags = options.map(({ flag }) => flag);
    for (const [, flag] of text.matchAll(/`--([a-z-]+)/g)) {
      if (flag !== 'max-old-space-size') expect(flags).toContain(flag);
    }
    const titles = dashboard.panels.map(({ title }) => title.split(':')[0]);
    for (const [, title] of text.matchAll(/\*([A-Z][A-Za-z ]+)\*(?!\*)/g)) {
      expect([...titles, 'Oldest hold', 'healthy']).toContain(title);
    }
  });

  it('is served with the anchors that the links use', () => {
    const page = new URL('dist/page/runbook.html', ROOT);
    expect(existsSync(page)).toBe(true);
    for (const { name } of ALERTS) {
      expect(readFileSync(page, 'utf8')).toContain(`<h2 id="${anchor(name)}">`);
    }
  });
});
