/**
 * The errors that stop a load run before it has a result, and the exit codes of `roomcast load`.
 * Owns: `LoadError` and `EXIT`. Not here: the verdict on a run that did take place (verdict/).
 */

/** Process exit codes of `roomcast load`; part of the public API. */
export const EXIT = {
  /** Every check that could be judged passed. */
  ok: 0,
  /** A check, a `--fail-if` threshold or a comparison failed; the output names it. */
  failed: 1,
  /** A bad option or an unreachable target (nothing was measured), or a report could not be written. */
  usage: 2,
  /** The generator or the machine was the limit, or no member was slow: nothing was tested. */
  void: 3,
  /** Something that should have been observed was not, or a worker was lost. */
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

/** An error shown as one line: what was wrong, with which value, and what would be right. */
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
