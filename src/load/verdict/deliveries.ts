/**
 * Checks that count connections, messages and publishes. Wrong messages cannot be caused by a busy
 * generator (`wrong`); late messages, ended connections and refused publishes can: a generator that was
 * blocked publishes all that is due at once, which a rate limit may refuse.
 */
import { formatCount, formatDuration } from '../units.js';
import {
  distinct,
  failed,
  healthyOf,
  type Judge,
  passed,
  percent,
  readersOf,
  reasons,
  refusals,
  repeats,
  skipped,
  sumBy,
  times,
  total,
  unknown,
  untested,
  wrong,
} from './check.js';

/** Share of the offered messages that may be refused or not sent. */
const NOT_CARRIED_OUT = 0.01;

export const joined: Judge = ({ cohorts, publishing }) => {
  const failures = sumBy(cohorts, ({ counters }) => total(counters.failures));
  const members = sumBy(cohorts, (cohort) => cohort.members);
  const unready = total(publishing.failures);
  if (failures + unready > 0) {
    const why = cohorts.map(({ counters }) => reasons(counters.failures)).filter(Boolean);
    const parts = [
      failures > 0 ? `${times(failures, 'member')} could not join: ${why.join(', ')}` : '',
      unready > 0
        ? `${times(unready, 'publisher')} could not join: ${reasons(publishing.failures)}`
        : '',
    ];
    return failed(parts.filter(Boolean).join('; '));
  }
  return passed(`${formatCount(members)} members joined`);
};

export const kept: Judge = (result, plan) => {
  const closes = [
    ...readersOf(result, plan).map(({ counters }) => counters.closes),
    result.publishing.closes,
  ];
  const lost = sumBy(closes, total);
  if (lost === 0)
    return passed('no member that reads everything and no publisher was disconnected');
  const why = closes.map(reasons).filter(Boolean).join(', ');
  return failed(
    `the server ended ${times(lost, 'connection')} of publishers and members that read everything: ${why}`,
  );
};

export const order: Judge = ({ cohorts }) => {
  const faults = cohorts.map(({ counters }) => counters.faults);
  const reordered = sumBy(faults, (f) => f.reordered);
  const duplicated = sumBy(faults, (f) => f.duplicated);
  const foreign = sumBy(faults, (f) => f.foreign);
  const changed = sumBy(faults, (f) => f.changed);
  if (reordered + duplicated + foreign + changed > 0) {
    return wrong(
      `${formatCount(reordered)} messages out of order, ${formatCount(duplicated)} twice, ${formatCount(foreign)} in the wrong room, ${formatCount(changed)} with a changed payload`,
    );
  }
  const received = sumBy(cohorts, ({ counters }) => counters.received);
  return passed(`${formatCount(received)} messages checked, each once, in order and unchanged`);
};

export const accounting: Judge = (result, plan) => {
  const { cohorts, publishing } = result;
  const lost: string[] = [];
  const late: string[] = [];
  for (const { name, counters } of cohorts) {
    const { unannounced, wrongGaps } = counters.faults;
    if (unannounced > 0) lost.push(`${name}: ${formatCount(unannounced)} lost without a gap`);
    if (wrongGaps > 0) {
      lost.push(`${name}: ${times(wrongGaps, 'gap')} did not match what was missing`);
    }
    if (counters.owed > 0) {
      late.push(
        `${name}: ${formatCount(counters.owed)} neither received nor announced by ${times(counters.owedMembers, 'member')} ${formatDuration(plan.drainMs)} after the last publish`,
      );
    }
  }
  const { accepted, sent } = publishing;
  if (accepted !== null) {
    const missing = sent - accepted - total(refusals(result, plan));
    if (missing > 0)
      lost.push(`${times(missing, 'publish', 'publishes')} neither numbered nor refused`);
    if (accepted > sent) {
      lost.push(`${formatCount(accepted)} messages numbered, but only ${formatCount(sent)} sent`);
    }
  }
  if (lost.length > 0) return wrong([...lost, ...late].join('; '));
  if (late.length > 0) return failed(late.join('; '));
  const restarted = sumBy(cohorts, ({ counters }) => counters.restarted);
  if (restarted > 0) {
    return unknown(
      `the server could not resume ${times(restarted, 'join')} from the given position: what those members missed is unknown`,
    );
  }
  const received = `${formatCount(distinct(cohorts))}${repeats(cohorts)}`;
  const announced = formatCount(sumBy(cohorts, ({ counters }) => counters.announced));
  const { confirmations } = publishing;
  const all = confirmations === null || confirmations.got === confirmations.asked;
  const extent = all ? ' = everything sent to members present' : ', without a hole as far as known';
  const resumed = sumBy(cohorts, ({ counters }) => counters.resumed);
  const others = resumed > 0 ? `, or resumed from a position (${times(resumed, 'join')})` : '';
  return passed(`received ${received} + announced as dropped ${announced}${extent}${others}`);
};

/** Members that read everything must lose nothing, announced or not. */
export const losses: Judge = (result, plan) => {
  const cohorts = healthyOf(result, plan);
  const healthy = cohorts.map(({ counters }) => counters);
  const received = distinct(cohorts);
  const announced = sumBy(healthy, (c) => c.announced);
  const silent = sumBy(healthy, ({ owed, faults }) => owed + faults.unannounced);
  const lost = announced + silent;
  if (lost === 0) return passed(`healthy members lost none of ${formatCount(received)} messages`);
  return failed(
    `healthy members lost ${formatCount(lost)} of ${formatCount(received + lost)} messages (${percent(lost, received + lost)}): ${formatCount(announced)} announced, ${formatCount(silent)} not`,
  );
};

/** Members that request what gaps named must receive all that the server keeps, once and in order. */
export const backfill: Judge = ({ cohorts }, plan) => {
  const asking = cohorts.filter((_, i) => plan.cohorts[i]!.backfill);
  if (asking.length === 0) return null;
  const sum = (key: 'came' | 'expired' | 'lost' | 'wrong' | 'unanswered' | 'cutOff'): number =>
    sumBy(asking, ({ counters }) => counters.backfill[key]);
  const [came, expired, lost, wrongly, unanswered] = [
    sum('came'),
    sum('expired'),
    sum('lost'),
    sum('wrong'),
    sum('unanswered'),
  ];
  const asked = came + expired + lost + unanswered;
  const said = asking.map(({ counters }) => reasons(counters.backfill.refused)).filter(Boolean);
  const refused = said.length > 0 ? `; refused at first: ${said.join(', ')}` : '';
  const text = `of ${times(asked, 'message')} that gaps named, the server sent ${formatCount(came)} on request and no longer kept ${formatCount(expired)}`;
  const faults = [
    lost > 0 ? `${formatCount(lost)} were neither sent nor named as not kept` : '',
    wrongly > 0
      ? `${formatCount(wrongly)} were not requested, out of order, or other messages`
      : '',
    unanswered > 0 ? `${formatCount(unanswered)} had no answer when the drain ended` : '',
  ].filter(Boolean);
  if (faults.length > 0) {
    return (lost + wrongly > 0 ? wrong : failed)(`${text}; ${faults.join('; ')}${refused}`);
  }
  if (sum('cutOff') > 0) {
    return unknown(
      `${text}; ${times(sum('cutOff'), 'request')} ended with their connection, so the answer is unknown`,
    );
  }
  if (asked === 0) {
    return untested(
      'no gap was announced to a member that requests backfill: lengthen fill and slow, or raise size or rate',
    );
  }
  if (came === 0) return untested(`${text}: let the server keep more`);
  return passed(`${text}${refused}`);
};

/** The server confirms where its numbering ended; without that, it is unknown what members are owed. */
export const confirmed: Judge = ({ publishing, cohorts }, plan) => {
  const { confirmations, sent } = publishing;
  if (confirmations === null) {
    return skipped('the target confirms no publish: every sent message is owed until it arrives');
  }
  const { asked, got } = confirmations;
  if (got === asked)
    return passed(`the last message of ${times(asked, 'publisher')} was confirmed`);
  const [healthy] = cohorts;
  const { members } = healthy!;
  const owed = (sent / plan.rooms) * plan.roomsPerMember * members;
  return failed(
    `within ${formatDuration(plan.drainMs)} of its end, the last message of ${formatCount(asked - got)} of ${times(asked, 'publisher')} was not confirmed; healthy members have received ${formatCount(distinct([healthy!]))}${repeats([healthy!])} of about ${formatCount(owed)} messages; what happened to the rest is unknown`,
  );
};

/** The load was offered as planned: a good p99 of the few accepted messages means nothing. */
export const offered: Judge = (result, plan) => {
  const { publishing } = result;
  const { blocked, stuck, sent, last } = publishing;
  // Refused last messages are sent again, so refusals may exceed the messages due: cap them.
  const refusedBy = refusals(result, plan);
  const refused = Math.min(total(refusedBy), sent - last);
  const due = Math.max(publishing.offered ?? 0, sent - last + blocked);
  if (stuck > 0) {
    return failed(
      `the window was given up ${times(stuck, 'time')} because no message arrived for 1 s`,
    );
  }
  const text = `of ${formatCount(due)} messages due, ${formatCount(refused)} were refused${refused > 0 ? `: ${reasons(refusedBy)}` : ''}, and ${formatCount(blocked)} not sent because the connection took no more`;
  return refused + blocked > due * NOT_CARRIED_OUT ? failed(text) : passed(text);
};
