/** The formats of a report besides JSON and HTML, and where they can be written. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { marked } from 'marked';
import { expect, onTestFinished, test } from 'vitest';
import { junitReport } from '../../../src/load/report/junit.js';
import { markdownReport } from '../../../src/load/report/markdown.js';
import { checkOutputs } from '../../../src/load/report/outputs.js';
import type { LoadReport } from '../../../src/load/report/report.js';
import type { Check } from '../../../src/load/verdict/check.js';
import { fixtureReport } from '../../support/load-report.js';

/** A report with the given checks and exit code. */
function judged(exit: number, ...checks: Check[]): LoadReport {
  const report = fixtureReport();
  const outcomes = { 0: 'passed', 1: 'failed', 3: 'void' } as const;
  const outcome = outcomes[exit as 0 | 1 | 3] ?? 'incomplete';
  return { ...report, verdict: { ...report.verdict, outcome, checks, exit } };
}

const check = (status: Check['status'], text = 'seen', name = 'flow'): Check => ({
  name,
  status,
  text,
});

/** Tags and attributes of an XML text, or an error if it is not well formed. */
function parseXml(xml: string): { tag: string; attributes: Record<string, string> }[] {
  const found: { tag: string; attributes: Record<string, string> }[] = [];
  const open: string[] = [];
  const rest = xml
    .replace(/^<\?xml [^<>]*\?>\n/, '')
    .replace(/<(\/?)([\w-]+)((?: [\w-]+="[^"<>]*")*)(\/?)>/g, (_, end, tag, attributes, empty) => {
      if (end) expect(open.pop()).toBe(tag);
      else {
        if (!empty) open.push(tag);
        const pairs = [...String(attributes).matchAll(/([\w-]+)="([^"]*)"/g)];
        found.push({ tag, attributes: Object.fromEntries(pairs.map(([, k, v]) => [k, v])) });
      }
      return '';
    });
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]|&(?!#\d+;)/);
  // XML 1.0 does not allow control characters, not even escaped.
  expect([...xml].every((c) => c >= ' ' || c === '\n' || c === '\t')).toBe(true);
  return found;
}

test('JUnit has one case per check, with its status', () => {
  const checks = [
    check('passed'),
    check('failed', '3 lost', 'accounting'),
    check('void', 'nothing was tested', 'slowness'),
    check('skipped', 'not asked', 'evictions'),
  ];
  const xml = parseXml(junitReport(judged(1, ...checks)));
  expect(xml.find(({ tag }) => tag === 'testsuite')?.attributes).toMatchObject({
    tests: '4',
    failures: '1',
    errors: '1',
    skipped: '1',
    time: '25.000',
  });
  expect(xml.filter(({ tag }) => tag === 'failure')[0]?.attributes).toEqual({ message: '3 lost' });
  expect(xml.filter(({ tag }) => tag === 'error')).toHaveLength(1);
  expect(
    xml.filter(({ tag }) => tag === 'testcase').map(({ attributes }) => attributes['name']),
  ).toEqual(['flow', 'accounting', 'slowness', 'evictions']);
});

test.each([3, 130])(
  'a run that is no pass is red in JUnit, also when every check passed: exit %i',
  (exit) => {
    const xml = parseXml(junitReport(judged(exit, check('passed'))));
    expect(xml.find(({ tag }) => tag === 'testsuite')?.attributes).toMatchObject({ errors: '1' });
  },
);

test('a passed run is green in JUnit', () => {
  const xml = parseXml(junitReport(judged(0, check('passed'))));
  expect(xml.find(({ tag }) => tag === 'testsuite')?.attributes).toMatchObject({
    errors: '0',
    failures: '0',
  });
});

test('text of a server is escaped in JUnit and Markdown', () => {
  const hostile = 'a "b" <script>alert(1)</script> & \u0000\u001b[31m | `c` ](x) @team\nnext';
  const report = judged(1, check('failed', hostile));
  const xml = parseXml(junitReport(report));
  expect(xml.map(({ tag }) => tag)).not.toContain('script');
  const html = marked.parse(markdownReport(report), { async: false });
  expect(html).not.toContain('<script>');
  expect(html).not.toContain('<code>');
  // The row is still one row of three cells.
  expect(html.match(/<td>/g)).toHaveLength(3 + 4 * 8);
});

test('Markdown has the outcome first, then figures, then checks', () => {
  const text = markdownReport(judged(1, check('failed', '3 lost', 'accounting')));
  expect(text).toMatch(/^## FAILED: accounting\n/);
  expect(text).toMatch(/\| healthy \| 90 \| slow \| 999 µs \| 1\.49 ms \|/);
  expect(text).toContain('| **failed** | accounting | 3 lost |');
});

test.each([
  [{ json: '-', junit: '-' }, '--junit is "-": expected a file: --json uses standard output'],
  [{ html: '/no/such/folder/r.html' }, '--html is "/no/such/folder/r.html": expected a file in a'],
])('invalid outputs are refused: %j', (outputs, message) => {
  expect(() => checkOutputs(outputs)).toThrow(message);
});

test('a folder is refused as an output', () => {
  const folder = mkdtempSync(join(tmpdir(), 'outputs-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'r.json'));
  expect(() => checkOutputs({ json: join(folder, 'r.json') })).toThrow('a file, not a folder');
  expect(() => checkOutputs({ json: join(folder, 'new.json') })).not.toThrow();
  expect(readdirSync(folder)).toEqual(['r.json']);
});
