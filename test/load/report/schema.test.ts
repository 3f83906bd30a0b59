import type { Static } from 'typebox';
import Value from 'typebox/value';
import { expect, expectTypeOf, test } from 'vitest';
import type { LoadReport } from '../../../src/load/report/report.js';
import { REPORT_SCHEMA, reportFault } from '../../../src/load/report/schema.js';
import { fixtureReport } from '../../support/load-report.js';

type Mutable<T> = { -readonly [K in keyof T]: Mutable<T[K]> };

test('the schema matches the types', () => {
  // Checked by the compiler: a field or value that only one of them has is an error here.
  expectTypeOf<Mutable<LoadReport>>().toExtend<Static<typeof REPORT_SCHEMA>>();
  expectTypeOf<Static<typeof REPORT_SCHEMA>>().toExtend<Mutable<LoadReport>>();
});

test('the shipped schema is this one', async () => {
  const shipped = new URL('../../../docs/load-report.schema.json', import.meta.url).pathname;
  await expect(`${JSON.stringify(REPORT_SCHEMA, null, 2)}\n`).toMatchFileSnapshot(shipped);
});

test('a report matches, and has no field that is not in the schema', () => {
  const report = JSON.parse(JSON.stringify(fixtureReport()));
  expect(reportFault(report)).toBeUndefined();
  expect(Value.Clean(REPORT_SCHEMA, structuredClone(report))).toEqual(report);
});

test('a deviation is named', () => {
  const report = JSON.parse(JSON.stringify(fixtureReport()));
  report.runs[0].cohorts[0].phases.calm.latency.p99 = 'fast';
  expect(reportFault(report)).toMatch(/^\/runs\/0\/cohorts\/0\/phases\/calm\/latency\/p99 must /);
  expect(reportFault(null)).toMatch(/^it must be/);
});
