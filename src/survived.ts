/**
 * Mistakes of ours in callbacks that nobody is in front of: of timers, of sockets, of a broker (V12).
 * What they throw would end the process, and with it everybody's connection. It is told to every
 * roomcast of the process instead, which counts and logs it. While there is none, it stays uncaught.
 */

type Report = (error: unknown) => void;

const reports = new Set<Report>();

/** Has `report` told of each; returns what ends that. */
export function onSurvived(report: Report): () => void {
  reports.add(report);
  return () => void reports.delete(report);
}

/** `callback`, which throws nothing any more. */
export function survived<Values extends unknown[]>(
  callback: (...values: Values) => void,
): (...values: Values) => void {
  return (...values) => {
    try {
      callback(...values);
    } catch (error) {
      survive(error);
    }
  };
}

/** @throws the error where there is nobody to tell it to */
export function survive(error: unknown): void {
  if (reports.size === 0) throw error;
  for (const report of reports) report(error);
}
