/**
 * What can stop a load run before it has a result, and the exit codes of `roomcast load`.
 * Owns: `LoadError` and `EXIT`. Not here: the verdict on a run that did happen (verdict/).
 */

/** Process exit codes of `roomcast load`; a table of the public surface. */
export const EXIT = {
  /** Every check that could be judged passed. */
  ok: 0,
  /** A check, a `--fail-if` threshold or a comparison failed; the output names it. */
  failed: 1,
  /** A bad option, or a target that could not be reached: nothing was measured. Or a report unwritten. */
  usage: 2,
  /** The generator or the machine was the limit, or nothing slow happened: nothing was tested. */
  void: 3,
  /** Something that should have been seen was not, or a worker was lost. */
  incomplete: 4,
  /** A bug of the tool itself; its stack is shown. */
  bug: 70,
  /** Stopped by a signal; what was measured until then is reported. */
  interrupted: 130,
} as const;

export type LoadErrorCode =
  | 'bad_option'
  | 'bad_scenario'
  | 'bad_report'
  | 'bad_protocol'
  | 'bad_agent'
  | 'unreachable'
  | 'worker_lost';

/** An error to show as one line: what was wrong, with which value, and what would be right. */
export class LoadError extends Error {
  override readonly name = 'LoadError';
  constructor(
    readonly code: LoadErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** A refused option or scenario key. `expected` completes "expected …". */
export function badOption(name: string, value: unknown, expected: string): LoadError {
  return new LoadError('bad_option', `${name} is ${JSON.stringify(value)}: expected ${expected}`);
}
