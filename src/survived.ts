/**
 * Catches errors in callbacks without a caller: those of timers, sockets and brokers (V12). Uncaught they
 * would end the process and all its connections. Instead they are reported to every roomcast of the
 * process, which counts and logs them. If there is no roomcast, the error stays uncaught.
 */

type Report = (error: unknown) => void;

const reports = new Set<Report>();

/** Registers `report` for every caught error; returns a function that removes it. */
export function onSurvived(report: Report): () => void {
  reports.add(report);
  return () => void reports.delete(report);
}

/** Wraps `callback` so that it does not throw. */
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

/** Reports the error to all. @throws the error if nothing is registered */
export function survive(error: unknown): void {
  if (reports.size === 0) throw error;
  for (const report of reports) report(error);
}
