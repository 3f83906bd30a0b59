/**
 * Publishes without an answer: those that wait for a connection, bounded by count and bytes, and those
 * that were sent. Each is settled by its deadline. One that was aborted or timed out is never sent
 * later.
 *
 * A publish is sent again only if the server deduplicates by `uid` and the room is still in the epoch it
 * was first sent in. So no message appears twice in a room.
 */

import {
  BUFFERED_BYTES,
  ID_BYTES,
  IN_FLIGHT,
  PUBLISH_MS,
  PUMP_MS,
  QUEUE_BYTES,
  QUEUE_MESSAGES,
} from './limits.js';
import type { OpenLink } from './link.js';
import type { Shared } from './shared.js';
import type { PublishOptions } from './types.js';
import { deferred, later, type Settle, type Timer } from './wait.js';

interface Publish {
  readonly room: string;
  readonly text: string;
  readonly bytes: number;
  /** Epoch in which it was first sent. Empty if it must not be sent again. */
  epoch?: string;
  /** Set while it awaits its answer. */
  forget?: (() => void) | undefined;
  settle: Settle<{ seq: number }>;
}

export interface Publishes {
  add(room: string, value: unknown, options?: PublishOptions): Promise<{ seq: number }>;
  /** Sends the publishes that may be sent now, in order within each room. */
  pump(): void;
  /** The connection was lost. With `isTooBig` the largest publish was the cause. */
  lost(isTooBig: boolean): void;
  close(code: string): void;
  /** Calls `fn` once no publish is pending. */
  whenIdle(fn: () => void): void;
}

export function publishes(shared: Shared): Publishes {
  const { random, usable, rooms, options } = shared;
  const {
    timeoutMs = PUBLISH_MS,
    queueMessages = QUEUE_MESSAGES,
    queueBytes = QUEUE_BYTES,
  } = options.publish ?? {};
  /** In order of arrival. */
  const all = new Set<Publish>();
  let ids = 0;
  let timer: Timer | undefined;
  let idle = () => {};
  /** Prefix that makes this client's `uid`s unique. */
  const mine = random();

  const unsent = () => [...all].filter(({ forget }) => !forget);
  const send = (link: OpenLink, publish: Publish): void => {
    publish.epoch = (link.welcome.features.includes('uid') && rooms.progress(publish.room)) || '';
    publish.forget = link.request(publish.text, (reply) => {
      // Publishes that the connection left unanswered are handled in `lost`.
      if (reply?.type === 'error') {
        const { code, message } = reply;
        if (code === 'broker_uncertain' && publish.epoch) {
          publish.forget = undefined;
          timer ??= later(self.pump, PUMP_MS);
          return;
        }
        publish.settle(code, undefined, { message });
      } else if (reply?.type === 'published') publish.settle('', { seq: reply.seq });
      else return;
      // Publishes may be waiting for a free place in flight.
      self.pump();
    });
  };

  const self: Publishes = {
    pump() {
      clearTimeout(timer);
      timer = undefined;
      const link = usable();
      if (!link) return;
      const held = new Set<string>();
      const due = unsent();
      let free = IN_FLIGHT - all.size + due.length;
      for (const publish of due) {
        const { room, epoch, bytes, settle } = publish;
        const at = rooms.progress(room);
        // In a new epoch the server no longer knows the `uid`.
        if (epoch && at && at !== epoch) settle('connection_lost');
        // The server would close the connection.
        else if (bytes > (link.welcome.limits['maxMessageBytes'] as number)) {
          settle('message_too_big');
        } else if (
          !free ||
          (link.socket.bufferedAmount ?? 0) >= BUFFERED_BYTES ||
          held.has(room) ||
          at === null ||
          (epoch && !at)
        ) {
          held.add(room);
          timer ??= later(self.pump, PUMP_MS);
        } else {
          free -= 1;
          send(link, publish);
        }
      }
    },
    add(room, value, { key, signal, timeoutMs: ms = timeoutMs } = {}) {
      let data: string | undefined;
      let cause: unknown;
      try {
        data = JSON.stringify(value);
      } catch (error) {
        cause = error;
      }
      ids += 1;
      const head = JSON.stringify({ type: 'publish', room, key, uid: `${mine}-${ids}` });
      const text = `${head.slice(0, -1)},"data":${data}}`;
      const bytes = utf8(text) + ID_BYTES;
      const before = unsent();
      const queued = before.reduce((sum, each) => sum + each.bytes, bytes);
      const publish: Publish = { room, text, bytes, settle() {} };
      const limit = later(() => publish.settle('timeout'), ms);
      all.add(publish);
      const [promise, settle] = deferred<{ seq: number }>(shared, room, signal, () => {
        publish.forget?.();
        all.delete(publish);
        clearTimeout(limit);
        if (!all.size) idle();
      });
      publish.settle = settle;
      if (data === undefined) settle('bad_data', undefined, { cause });
      self.pump();
      if ((before.length >= queueMessages || queued > queueBytes) && !publish.forget) {
        settle('queue_full');
      }
      return promise;
    },
    lost(isTooBig) {
      clearTimeout(timer);
      const sent = [...all].filter(({ forget }) => forget);
      for (const publish of sent.sort((a, b) => b.bytes - a.bytes)) {
        publish.forget = undefined;
        if (isTooBig) publish.settle('message_too_big');
        else if (!publish.epoch) publish.settle('connection_lost');
        isTooBig = false;
      }
    },
    close(code) {
      for (const { settle } of all) settle(code);
    },
    whenIdle(fn) {
      idle = fn;
      if (!all.size) fn();
    },
  };
  return self;
}

/** UTF-8 length of a JSON text, which contains no lone surrogates. Some platforms have no TextEncoder. */
const utf8 = (text: string): number => encodeURIComponent(text).replace(/%../g, '.').length;
