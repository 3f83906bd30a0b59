/**
 * Owns: a task, the identity behind holds and waits. A task is one sequential flow: give branches that
 * run side by side a task each.
 */

let tasks = 0;

export class Task {
  /** As given. */
  readonly name: string;
  /** Name and number, for reports: `Room.join#17`. */
  readonly label: string;

  constructor(name: string) {
    this.name = name;
    tasks += 1;
    this.label = `${name}#${tasks}`;
  }
}

/** Runs `fn` at once as a new task; returns what it returns. Hand the task on to every wait inside. */
export function runTask<T>(name: string, fn: (task: Task) => T): T {
  return fn(new Task(name));
}
