/**
 * Owns: the texts of reports. Each function takes what the detector found and returns the text and the
 * labels for it; it keeps no state. Not here: when something is reported (detector.ts, watchdog.ts) and
 * how often (incidents.ts).
 */

import { nowMs } from '../time.js';
import { type Blame, blame } from './graph.js';
import type { Hold, LockNode, Resource, Task, Wait } from './nodes.js';
import type { OrderEdge } from './order.js';
import type { LockReport, LockStack } from './types.js';

/** The facts about an incident that its text starts with. */
export interface Head {
  readonly id: string;
  readonly count: number;
  readonly ageMs: number;
}

export type Told = Pick<LockReport, 'text' | 'tasks' | 'chain' | 'stacks'>;

const LISTED = 10;

/** `cycle`: the waits in order; each is followed by the wait of a task that must act to end it. */
export function deadlockWords(head: Head, cycle: readonly Wait[], title: string): Told {
  const count = cycle.length === 1 ? '1 task waits' : `${cycle.length} tasks wait`;
  const who = cycle.length === 1 ? 'itself' : 'each other';
  const when = head.count === 1 ? `found ${age(head.ageMs)} after it formed` : lasting(head);
  const lines = [`${title} id=${head.id}  ${count} for ${who}, ${when}`];
  const labels = cycle.map((wait) => wait.label);
  const width = Math.max(...labels.map((label) => label.length)) + 1;
  cycle.forEach((wait, i) => {
    const wantedBy = cycle.at(i - 1) as Wait;
    const start = `  task ${wait.label.padEnd(width)} `;
    const owns = ownership(wait.task, wantedBy.on, i > 0);
    const split = wantedBy.on.kind === 'lock' ? `\n${' '.repeat(start.length)}` : '; ';
    lines.push(`${start}${owns}${split}waits for ${wanted(wait)}`);
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
      `  task ${hold.label} ${holds(hold)}, and acquires it again at ${again.site}`,
      '  a writer that queues in between waits for the first hold, and the second waits for the writer: a deadlock.',
      '  hint: acquire the lock once and pass the guard on.',
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
      `LOCK ORDER INVERSION (suspected) id=${head.id}  ${names.length} lock classes`,
      ...circle.map(
        (edge) =>
          `  ${edge.from} before ${edge.to}: ${edge.task} acquired ${edge.from} at ${edge.fromSite}, then requested ${edge.to} at ${edge.toSite}`,
      ),
      `  cycle: ${chain.join(' -> ')}`,
      '  hint: tasks that do this at the same time can deadlock; acquire the locks in the same order everywhere.',
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
      `  and now waits for ${wanted(wait)}`,
      `  hint: release ${locks} before waiting for ${short(wait.on)}: a task it depends on may need the same lock.`,
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
    `LOCK WAIT TIMEOUT (suspected) id=${head.id}  ${lasting(head)}`,
    `  ${wait.label} has waited ${age(now - wait.since)} for ${wanted(wait)}${requested(wait)}`,
  ];
  if (on.kind === 'lock') {
    const hold = on.holders.first;
    if (hold !== null) {
      const held = `held by ${hold.label} (${hold.mode}) ${heldFor(hold, now)}`;
      lines.push(`  ${held}${acquired(hold)}${others(on)}`);
    }
  } else if (on.kind === 'waitgroup') {
    lines.push(`  oldest member: ${found.links[0]?.label ?? 'none'}`);
  }
  lines.push(...chainLines(on, found));
  const also = on.kind === 'lock' ? queued(on, wait) : '';
  if (also !== '') lines.push(`  also queued: ${also}`);
  const chain = [wait.label, ...chainOf(on, found)];
  lines.push(`  chain: ${chain.join(' -> ')}`, `  hint: ${hint(on, found)}`);
  return { text: lines.join('\n'), tasks: tasksOf(wait, found), chain, stacks: stacks([wait]) };
}

export function longHoldWords(head: Head, hold: Hold, stalledMs: number, now: number): Told {
  const { lock } = hold;
  const found = blame(lock);
  const first = lock.queue?.first ?? null;
  const behind = first === null ? '' : queued(lock, first);
  const blocked =
    first === null
      ? 'nothing yet'
      : `${first.label} (${first.mode}) for ${age(now - first.since)}${behind && `, and ${behind} behind it`}`;
  const held = `${lock.label} (${hold.mode}) is held by ${hold.label}`;
  const chain = [...(first === null ? [] : [first.label]), ...chainOf(lock, found)];
  return {
    text: [
      `LONG HOLD (suspected) id=${head.id}  ${lasting(head)}`,
      `  ${held}${acquired(hold)}${others(lock)}`,
      ...chainLines(lock, found),
      `  blocked: ${blocked}`,
      ...(stalledMs >= 1
        ? [`  note: the event loop was blocked for ${age(stalledMs)} of this`]
        : []),
      `  hint: ${hint(lock, found)}`,
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
      `STUCK AT EXIT (certain) id=${head.id}  ${waits.length} ${plural('wait', waits.length)} that can never end`,
      ...shown.map(
        (wait) => `  ${wait.label} has waited ${age(now - wait.since)} for ${stuckOn(wait)}`,
      ),
      ...(more > 0 ? [`  and ${more} more`] : []),
      '  the event loop is empty, so the process exits although this work is unfinished.',
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
  return since === null ? 'for an unknown time' : `for ${age(now - since)}`;
}

function lasting({ count, ageMs }: Head): string {
  return `lasting ${age(ageMs)}${count === 1 ? '' : `, reported ${count} times`}`;
}

function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`;
}

function short(on: Resource): string {
  return on.kind === 'external' ? on.label : on.label.slice(on.label.indexOf(':') + 1);
}

/** The object of a sentence that ends in "waits for". */
function wanted(wait: Wait): string {
  const { on } = wait;
  if (on.kind === 'lock') return `${on.label} (${wait.mode})`;
  if (on.kind === 'waitgroup') {
    return `${on.label} (${on.members.size} ${plural('member', on.members.size)} left)`;
  }
  return on.owner === null ? `${on.label} (external peer)` : on.heldBy();
}

function stuckOn(wait: Wait): string {
  const { on } = wait;
  if (on.kind === 'external') return wanted(wait);
  return `${on.kind === 'lock' ? wanted(wait) : on.label}; ${on.heldBy()}`;
}

function holds(hold: Hold): string {
  const time = heldFor(hold, nowMs());
  return `has held ${hold.lock.label} (${hold.mode}) ${time}, acquired at ${hold.site}`;
}

/** Why a wait for `on` cannot end before `task` acts. `mentioned`: the line above names `on`. */
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
    if (first.on.kind === 'lock') {
      return `${first.on.label} is not re-entrant: acquire it once and pass the guard on.`;
    }
    return first.on.kind === 'waitgroup'
      ? `a task cannot wait for itself: leave ${short(first.on)} before waiting for it.`
      : `a task cannot wait for itself: another task must serve ${short(first.on)}.`;
  }
  for (let i = 0; i < cycle.length; i += 1) {
    const wait = cycle[i] as Wait;
    const wantedBy = cycle.at(i - 1) as Wait;
    if (wait.on.kind !== 'lock' && wantedBy.on.kind === 'lock') {
      return `release ${wantedBy.on.label} before waiting for ${short(wait.on)}.`;
    }
  }
  const names = [...new Set(cycle.map((wait) => short(wait.on)))].sort();
  return `acquire these in the same order everywhere: ${names.join(', ')}.`;
}

/** Empty if the task is named after the site. */
function acquired({ task, site }: Hold): string {
  return task === null || task.name === site ? '' : `, acquired at ${site}`;
}

function requested({ task, site, on }: Wait): string {
  return on.kind !== 'lock' || task === null || task.name === site ? '' : `, requested at ${site}`;
}

function others(lock: LockNode): string {
  const count = lock.holders.size - 1;
  return count < 1 ? '' : `, and by ${count} ${plural('other', count)}`;
}

/** Number of writers and readers in the queue of `lock`, without `but`. */
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
  return parts.join(' and ');
}

const UNFINISHED: Record<Resource['kind'], string> = {
  lock: 'has ended without releasing it',
  waitgroup: 'has ended without leaving the group',
  external: 'has ended without serving it',
};

/** A line for each link of the blame chain, from the holder of `on` down; of a long chain, not the middle. */
function chainLines(on: Resource, { links, end }: Blame): string[] {
  const lines = links.map(({ label, wait }, i) => {
    const next = links[i + 1];
    if (wait === null) {
      const last = links[i - 1]?.wait?.on ?? on;
      if (end === 'ended') return `  ${label} ${UNFINISHED[last.kind]}`;
      return end === 'running'
        ? `  ${label} is running, or waits for something it did not declare`
        : `  ${label} is not a task, so its waits are unknown`;
    }
    const ends = end === 'deadlock' ? ', in a deadlock' : end === 'cycle' ? ', in a cycle' : '';
    return `  ${label} waits for ${wanted(wait)}${next === undefined ? ends : by(wait.on, next.label)}`;
  });
  const more = lines.length - LISTED;
  if (more <= 0) return lines;
  return [...lines.slice(0, LISTED - 1), `  and ${more} more links`, ...lines.slice(-1)];
}

function by(on: Resource, label: string): string {
  if (on.kind === 'lock') return `, held by ${label}`;
  return on.kind === 'waitgroup' ? `, oldest member: ${label}` : '';
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
  if (end === 'unknown') {
    return 'pass { task } when acquiring locks, to see what their holders wait for.';
  }
  if (end === 'external' && on.kind === 'lock') {
    return `queue messages per consumer; do not await sends while holding ${on.label}.`;
  }
  if (first !== undefined && on.kind === 'lock') {
    return `release ${on.label} before waiting for ${short(first)}.`;
  }
  return on.kind === 'lock'
    ? `do less while holding ${on.label}, or release it before awaiting.`
    : `give the work that ${short(on)} waits for a timeout or a signal.`;
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
