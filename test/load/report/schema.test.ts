import type { Static } from 'typebox';
import Value from 'typebox/value';
import { expect, expectTypeOf, test } from 'vitest';
import type { LoadReport } from '../../../src/load/report/report.js';
import { REPORT_SCHEMA, reportFault } from '../../../src/load/report/schema.js';
import { fixtureReport } from '../../support/load-report.js';

type Mutable<T> = { -readonly [K in keyof T]: Mutable<T[K]> };

test('the schema says what the types say', () => {
  // For the compiler: a field, or a value it may have, that only one of them knows is an error here.
  expectTypeOf<Mutable<LoadReport>>().toExtend<Static<typeof REPORT_SCHEMA>>();
  expectTypeOf<Static<typeof REPORT_SCHEMA>>().toExtend<Mutable<LoadReport>>();
});

test('the schema that is shipped is this one', async () => {
  const shipped = new URL('../../../docs/load-report.schema.json', import.meta.url).pathname;
  await expect(`${JSON.stringify(REPORT_SCHEMA, null, 2)}\n`).toMatchFileSnapshot(shipped);
});

test('a report fits, and has no field that the schema does not know', () => {
  const report = JSON.parse(JSON.stringify(fixtureReport()));
  expect(reportFault(report)).toBeUndefined();
  expect(Value.Clean(REPORT_SCHEMA, structuredClone(report))).toEqual(report);
});

test('what does not fit is named', () => {
  const report = JSON.parse(JSON.stringify(fixtureReport()));
  report.runs[0].cohorts[0].phases.calm.latency.p99 = 'fast';
  expect(reportFault(report)).toMatch(/^\/runs\/0\/cohorts\/0\/phases\/calm\/latency\/p99 must /);
  expect(reportFault(null)).toMatch(/^it must be/);
});
