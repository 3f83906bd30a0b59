/**
 * Owns: the defaults of a detector's options and their check.
 */
import { LockOptionError } from './errors.js';
import type { DetectorOptions } from './types.js';

export type Settings = Required<Omit<DetectorOptions, 'onReport'>>;

export const DEFAULTS: Settings = {
  mode: 'watch',
  deadlockTimeoutMs: 30_000,
  longHoldMs: 1_000,
  checkIntervalMs: 1_000,
  lockOrder: true,
  maxOrderEdges: 4_096,
  captureStacks: 'blocked',
  stackDepth: 8,
  ambientTasks: false,
};

/** @throws LockOptionError `lock_bad_option`: names the option, its value and the allowed values. */
export function checkSettings(settings: Settings): void {
  const { mode, captureStacks, maxOrderEdges, stackDepth } = settings;
  if (!['off', 'watch', 'strict'].includes(mode)) {
    throw new LockOptionError('mode', mode, 'off, watch or strict');
  }
  if (!['blocked', 'never'].includes(captureStacks)) {
    throw new LockOptionError('captureStacks', captureStacks, 'blocked or never');
  }
  for (const option of ['deadlockTimeoutMs', 'longHoldMs'] as const) {
    if (!(settings[option] > 0)) {
      throw new LockOptionError(option, settings[option], 'milliseconds above 0, or Infinity');
    }
  }
  const { checkIntervalMs } = settings;
  if (!(checkIntervalMs >= 1 && checkIntervalMs < 2 ** 31)) {
    throw new LockOptionError(
      'checkIntervalMs',
      checkIntervalMs,
      'milliseconds from 1 to 2147483647',
    );
  }
  if (!Number.isInteger(maxOrderEdges) || maxOrderEdges < 1 || maxOrderEdges > 1_000_000) {
    throw new LockOptionError('maxOrderEdges', maxOrderEdges, 'a whole number from 1 to 1000000');
  }
  if (!Number.isInteger(stackDepth) || stackDepth < 1 || stackDepth > 100) {
    throw new LockOptionError('stackDepth', stackDepth, 'a whole number from 1 to 100');
  }
}
