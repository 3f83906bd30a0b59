import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { vi } from 'vitest';
import {
  Detector,
  type DetectorOptions,
  type LockReport,
  type ReportKind,
} from '../../src/lock/index.js';

/** A detector of its own and the reports it delivered, in order. */
export function watched(options: DetectorOptions = {}) {
  const told: LockReport[] = [];
  const detector = new Detector({ onReport: (report) => told.push(report), ...options });
  /** Incidents of a kind, each once, with its latest report. */
  const incidents = (kind: ReportKind) => [
    ...new Map(told.filter((each) => each.kind === kind).map((each) => [each.id, each])).values(),
  ];
  return { detector, told, incidents };
}

/** A promise and the function that resolves it. */
export function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** With the virtual clock: runs everything that can run now, including reports. */
export async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

/** Advances the virtual clock by `ms`, then by 1 ms more, in which pending reports are delivered. */
export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await vi.advanceTimersByTimeAsync(1);
}

/** The state of a promise, updated when it settles. */
export function follow(promise: Promise<unknown>) {
  const state = { settled: false, error: undefined as unknown };
  promise.then(
    () => {
      state.settled = true;
    },
    (error) => {
      state.settled = true;
      state.error = error;
    },
  );
  return state;
}

/** The lock module alone, as JavaScript in a directory of its own: this also proves that it is self-contained. */
export function compileLockModule(): string {
  const directory = mkdtempSync(join(tmpdir(), 'roomcast-lock-'));
  const source = new URL('../../src/', import.meta.url);
  const names = readdirSync(new URL('lock/', source)).map((name) => `lock/${name}`);
  mkdirSync(join(directory, 'lock'));
  // The only modules outside `lock/` that it imports.
  for (const name of [...names, 'survived.ts', 'time.ts']) {
    const { outputText } = ts.transpileModule(readFileSync(new URL(name, source), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    writeFileSync(join(directory, name.replace(/\.ts$/, '.js')), outputText);
  }
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  return directory;
}
