/**
 * The formats of a report and where they are written: one file each, or `-` for standard output, which
 * then gets nothing else. Not here: the content of each format (JSON is the report itself; html.ts,
 * junit.ts, markdown.ts, summary.ts).
 */
import { closeSync, existsSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { badOption } from '../error.js';
import { htmlReport } from './html.js';
import { junitReport } from './junit.js';
import { markdownReport } from './markdown.js';
import type { LoadReport } from './report.js';
import { summary } from './summary.js';

const FORMS = {
  json: (report: LoadReport) => `${JSON.stringify(report)}\n`,
  html: htmlReport,
  junit: junitReport,
  markdown: markdownReport,
};
type Form = keyof typeof FORMS;

/** By form, a file name or `-`. */
export type Outputs = Partial<Record<Form, string>>;

/**
 * Checks the files before the run, so that it does not fail after it.
 * @throws LoadError `bad_option` for a file that cannot be written, or `-` more than once
 */
export function checkOutputs(outputs: Outputs): void {
  const entries = Object.entries(outputs);
  const [first, second] = entries.filter(([, to]) => to === '-').map(([form]) => form);
  if (second !== undefined) {
    throw badOption(`--${second}`, '-', `a file: --${first} uses standard output`);
  }
  for (const [form, to] of entries) if (to !== '-') checkWritable(`--${form}`, to);
}

function checkWritable(option: string, to: string): void {
  const isNew = !existsSync(to);
  try {
    closeSync(openSync(to, 'a'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const expected =
      code === 'EISDIR'
        ? 'a file, not a folder'
        : `a file in a folder that can be written to (${code})`;
    throw badOption(option, to, expected);
  }
  if (isNew) unlinkSync(to);
}

/**
 * Writes the report in each requested format, and the summary to standard output, or to standard error
 * if a format uses standard output.
 * @returns one line per file that could not be written (for example because the disk is full), and why
 */
export function writeOutputs(report: LoadReport, outputs: Outputs): string[] {
  let terminal: NodeJS.WriteStream = process.stdout;
  const unwritten: string[] = [];
  for (const [form, to] of Object.entries(outputs) as [Form, string][]) {
    const text = FORMS[form](report);
    if (to === '-') {
      process.stdout.write(text);
      terminal = process.stderr;
    } else {
      try {
        writeFileSync(to, text);
      } catch (error) {
        unwritten.push(`--${form} ${to}: ${(error as Error).message}`);
      }
    }
  }
  terminal.write(summary(report));
  return unwritten;
}
