/**
 * Owns: what a report says. Each function takes what was found and returns the words for it; nothing is
 * kept. Not here: when something is reported (detector.ts, watchdog.ts) and how often (incidents.ts).
 */

import { nowMs } from '../time.js';
import { type Blame, blame, type ChainEnd } from './graph.js';
import type { Hold, LockNode, Resource, Task, Wait } from './nodes.js';
import type { OrderEdge } from './order.js';
import type { LockReport, LockStack } from './types.js';

/** What an incident knows of itself when it is told. */
export interface Head {
  readonly id: string;
  readonly count: number;
  readonly ageMs: number;
}

export type Told = Pick<LockReport, 'text' | 'tasks' | 'chain' | 'stacks'>;

const LISTED = 10;

/** `cycle`: waits in order, each followed by the wait of a task that has to let go. */
export function deadlockWords(head: Head, cycle: readonly Wait[], title: string): Told {
  const count = `${cycle.length} ${plural('task', cycle.length)}`;
  const when = head.count === 1 ? `found ${age(head.ageMs)} after forming` : seen(head);
  const lines = [`${title} id=${head.id}  ${count}, ${when}`];
  const labels = cycle.map((wait) => wait.label);
  const width = Math.max(...labels.map((label) => label.length)) + 1;
  cycle.forEach((wait, i) => {
    const wantedBy = cycle.at(i - 1) as Wait;
    const start = `  task ${wait.label.padEnd(width)} `;
    const owns = ownership(wait.task, wantedBy.on, i > 0);
    const split = wantedBy.on.kind === 'lock' ? `\n${' '.repeat(start.length)}` : '; ';
    lines.push(`${start}${owns}${split}waits ${wanted(wait)}`);
  });
  const links = cycle.flatMap((wait) => [wait.label, short(wait.on)]);
  const chain = [...links, labels[0] as string];
  lines.push(`  cycle: ${chain.join(' -> ')}`);
  const behind = waitsBehind(cycle);
  if (behind > 0) lines.push(`  blocked behind it: ${behind} more ${plural('wait', behind)}`);
  lines.push(`  hint: ${cycleHint(cycle)}`);
  return { text: lines.join('\n'), tasks: labels, chain, stacks: stacks(cycle) };
}

export function recursiveWords(head: Head, hold: Hold, again: Hold): Told {
  return {
    text: [
      `RECURSIVE LOCK (suspected) id=${head.id}`,
      `  task ${hold.label} ${holds(hold)} and takes it again at ${again.site}`,
      '  a writer that asks for it in between waits for the first, and the second waits behind the writer.',
      '  hint: take it once, and pass the guard on.',
    ].join('\n'),
    tasks: [hold.label],
    chain: [hold.label, short(hold.lock), hold.label],
    stacks: [],
  };
}

export function inversionWords(head: Head, circle: readonly OrderEdge[]): Told {
  const names = circle.map((edge) => edge.from);
  const chain = [...names, names[0] as string];
  return {
    text: [
      `LOCK ORDER INVERSION (suspected) id=${head.id}  ${names.length} classes of locks`,
      ...circle.map(
        (edge) =>
          `  ${edge.from} before ${edge.to}: ${edge.task} took ${edge.from} at ${edge.fromSite}, then ${edge.to} at ${edge.toSite}`,
      ),
      `  cycle: ${chain.join(' -> ')}`,
      '  hint: tasks that do these at the same time can deadlock; take the locks in one order everywhere.',
    ].join('\n'),
    tasks: [...new Set(circle.map((edge) => edge.task))],
    chain,
    stacks: [],
  };
}

export function waitWhileHoldingWords(head: Head, task: Task, wait: Wait): Told {
  const locks = task.held.map((hold) => hold.lock.label).join(', ');
  return {
    text: [
      `WAIT WHILE HOLDING (suspected) id=${head.id}`,
      `  task ${task.label} ${task.held.map(holds).join(' and ')}`,
      `  and waits ${wanted(wait)}`,
      `  hint: release ${locks} before waiting on ${short(wait.on)}: whoever it waits for may want it.`,
    ].join('\n'),
    tasks: [task.label],
    chain: [task.label, short(wait.on)],
    stacks: stacks([wait]),
  };
}

export function waitTimeoutWords(head: Head, wait: Wait, now: number): Told {
  const { on } = wait;
  const found = blame(on);
  const lines = [
    `LOCK WAIT TIMEOUT (suspected) id=${head.id}  ${seen(head)}`,
    `  ${wait.label} waits ${wanted(wait)} ${age(now - wait.since)}${asked(wait)}`,
  ];
  if (on.kind === 'lock') {
    const hold = on.holders.first;
    if (hold !== null) {
      const held = `held by ${hold.label} (${hold.mode}) ${heldFor(hold, now)}`;
      lines.push(`  ${held}${taken(hold)}${others(on)}${awaiting(found)}`);
    }
    const rest = queued(on, wait);
    if (rest !== '') lines.push(`  blocked: ${rest}`);
  } else {
    lines.push(`  of whom ${found.links[0]?.label ?? 'nobody'}${awaiting(found)}`);
  }
  const chain = [wait.label, ...chainOf(on, found)];
  lines.push(`  chain: ${chain.join(' -> ')}`, `  hint: ${hint(on, found)}`);
  return { text: lines.join('\n'), tasks: tasksOf(wait, found), chain, stacks: stacks([wait]) };
}

export function longHoldWords(head: Head, hold: Hold, stalledMs: number, now: number): Told {
  const { lock } = hold;
  const found = blame(lock);
  const first = lock.queue?.first ?? null;
  const stalled = stalledMs >= 1 ? `event loop stalled ${age(stalledMs)} of this. ` : '';
  const waiter =
    first === null
      ? 'nobody yet'
      : `${first.label} (${first.mode}) ${age(now - first.since)}${rest(queued(lock, first))}`;
  const held = `${lock.label} (${hold.mode}) held by ${hold.label}`;
  const chain = [...(first === null ? [] : [first.label]), ...chainOf(lock, found)];
  return {
    text: [
      `LONG HOLD (suspected) id=${head.id}  ${seen(head)}`,
      `  ${held}${taken(hold)}${others(lock)}${awaiting(found)}`,
      `  blocked: ${waiter}`,
      `  ${stalled}hint: ${hint(lock, found)}`,
    ].join('\n'),
    tasks: tasksOf(first, found),
    chain,
    stacks: first === null ? [] : stacks([first]),
  };
}

export function stuckWords(head: Head, waits: readonly Wait[], now: number): Told {
  const shown = waits.slice(0, LISTED);
  const more = waits.length - shown.length;
  return {
    text: [
      `STUCK AT EXIT (certain) id=${head.id}  ${waits.length} ${plural('wait', waits.length)} that nothing can end any more`,
      ...shown.map(
        (wait) =>
          `  ${wait.label} waits ${wanted(wait)} ${age(now - wait.since)}; ${wait.on.heldBy()}`,
      ),
      ...(more > 0 ? [`  and ${more} more`] : []),
      '  the event loop is empty, so the process ends as if its work were done.',
    ].join('\n'),
    tasks: shown.map((wait) => wait.label),
    chain: shown.flatMap((wait) => [wait.label, short(wait.on)]),
    stacks: stacks(shown),
  };
}

/** `12 ms`, `31.0 s`. */
function age(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function heldFor({ since }: Hold, now: number): string {
  return since === null ? 'since it was not tracked' : age(now - since);
}

function seen({ count, ageMs }: Head): string {
  return count === 1 ? `now ${age(ageMs)}` : `seen x${count}, now ${age(ageMs)}`;
}

function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`;
}

function rest(words: string): string {
  return words === '' ? '' : `, plus ${words}`;
}

function short(on: Resource): string {
  return on.kind === 'external' ? on.label : on.label.slice(on.label.indexOf(':') + 1);
}

/** What a wait is for. */
function wanted(wait: Wait): string {
  const { on } = wait;
  if (on.kind === 'lock') return `${on.label} (${wait.mode})`;
  if (on.kind === 'external') return on.heldBy();
  return `${on.label}, ${on.members.size} ${plural('member', on.members.size)} left`;
}

function holds(hold: Hold): string {
  const since = heldFor(hold, nowMs());
  return `holds ${hold.lock.label} (${hold.mode}) ${since}, taken at ${hold.site}`;
}

/** Why `task` has to act before a wait for `on` can end. */
function ownership(task: Task | null, on: Resource, mentioned: boolean): string {
  if (on.kind === 'lock') {
    const hold = task?.held.find((each) => each.lock === on);
    return hold === undefined ? `holds ${on.label}` : holds(hold);
  }
  if (on.kind === 'external') return `serves ${on.label}`;
  for (const member of on.members) {
    if (member.task === task) {
      return mentioned
        ? `is that member (${member.name})`
        : `is member ${member.name} of ${on.label}`;
    }
  }
  return `is a member of ${on.label}`;
}

function waitsBehind(cycle: readonly Wait[]): number {
  const locks = new Set<LockNode>();
  for (const { on } of cycle) if (on.kind === 'lock') locks.add(on);
  let behind = 0;
  for (const lock of locks) behind += lock.queue?.size ?? 0;
  return behind - cycle.filter(({ on }) => on.kind === 'lock').length;
}

function cycleHint(cycle: readonly Wait[]): string {
  const [first] = cycle;
  if (first !== undefined && cycle.length === 1) {
    return first.on.kind === 'lock'
      ? `${first.on.label} is not re-entrant: take it once, and pass the guard on.`
      : `a task cannot wait for itself: leave ${short(first.on)} before waiting for it.`;
  }
  for (let i = 0; i < cycle.length; i += 1) {
    const wait = cycle[i] as Wait;
    const wantedBy = cycle.at(i - 1) as Wait;
    if (wait.on.kind !== 'lock' && wantedBy.on.kind === 'lock') {
      return `release ${wantedBy.on.label} before waiting on ${short(wait.on)}.`;
    }
  }
  const names = [...new Set(cycle.map((wait) => short(wait.on)))].sort();
  return `ask for these in one order everywhere: ${names.join(', ')}.`;
}

/** Unless the name of the task says it already. */
function taken({ task, site }: Hold): string {
  return task === null || task.name === site ? '' : `, taken at ${site}`;
}

function asked({ task, site, on }: Wait): string {
  return on.kind !== 'lock' || task === null || task.name === site ? '' : `, asked at ${site}`;
}

function others(lock: LockNode): string {
  return lock.holders.size > 1 ? ` and ${lock.holders.size - 1} more` : '';
}

/** Who waits in the queue of `lock` besides `but`. */
function queued(lock: LockNode, but: Wait): string {
  let readers = 0;
  let writers = 0;
  for (let wait = lock.queue?.first ?? null; wait !== null; wait = wait.next) {
    if (wait === but) continue;
    if (wait.mode === 'read') readers += 1;
    else writers += 1;
  }
  const parts: string[] = [];
  if (writers > 0) parts.push(`${writers} ${plural('writer', writers)}`);
  if (readers > 0) parts.push(`${readers} ${plural('reader', readers)}`);
  return parts.length === 0 ? '' : `${parts.join(' and ')} queued behind it`;
}

const ENDS: Record<ChainEnd, string> = {
  external: '',
  running: ', which runs, or waits for what it did not declare',
  ended: ', which has ended without releasing it',
  unknown: ', which has no task to look into',
  deadlock: ', which is in a deadlock',
  cycle: ', which waits in a circle',
};

/** The rest of the sentence about the first link: what it waits for, and so on down. */
function awaiting({ links, end }: Blame): string {
  const words = links.map(({ wait }, i) => {
    if (wait === null) return '';
    const next = links[i + 1];
    const by =
      next === undefined
        ? ''
        : `${wait.on.kind === 'lock' ? ', held by' : ', of whom'} ${next.label}`;
    const peer =
      wait.on.kind === 'external' && wait.on.owner === null
        ? `${wait.on.label} (external peer)`
        : wanted(wait);
    return `, now awaiting ${peer}${by}`;
  });
  return words.join('') + ENDS[end];
}

function chainOf(on: Resource, { links, end }: Blame): string[] {
  const steps = [short(on)];
  for (const { label, wait } of links) {
    steps.push(label);
    if (wait !== null) steps.push(short(wait.on));
  }
  return [...steps, end];
}

function hint(on: Resource, { links, end }: Blame): string {
  const first = links[0]?.wait?.on;
  if (end === 'ended') return 'release the guard in a finally block, or declare it with using.';
  if (end === 'unknown')
    return 'pass { task } when taking locks to see what their holders wait for.';
  if (end === 'external' && on.kind === 'lock') return 'enqueue per consumer; do not await sends.';
  if (first !== undefined && on.kind === 'lock') {
    return `release ${on.label} before waiting on ${short(first)}.`;
  }
  return on.kind === 'lock'
    ? `shorten what is done with ${on.label} held, or release it before awaiting.`
    : `give what it waits for a deadline or a signal.`;
}

function tasksOf(waiter: Wait | null, { links }: Blame): string[] {
  const labels = links.map(({ label }) => label);
  return waiter === null ? labels : [waiter.label, ...labels];
}

function stacks(waits: readonly Wait[]): LockStack[] {
  return waits.flatMap((wait) => {
    const lines = wait.stack?.stack;
    if (lines === undefined) return [];
    return [{ task: wait.label, stack: lines.slice(lines.indexOf('\n') + 1) }];
  });
}
