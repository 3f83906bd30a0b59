/**
 * Access to the history of rooms for callers that are not members: whether any is kept, reading and
 * purging it. The room need not have members.
 *
 * Not here: replays to members (`recovery.ts`, `replays.ts`), authorisation of the caller (`http/`).
 */
import type { Broker, MaybePromise, Past, Range } from '../broker/broker.js';
import type { BrokerCalls } from '../broker/calls.js';
import { Refusal, shuttingDown } from '../errors.js';
import type { Config } from '../options/config.js';
import { historyPolicy } from '../options/history.js';
import { histories, namespaceOf, settingsFor } from '../options/namespaces.js';
import type { Pages } from './pages.js';

export interface ArchiveContext {
  readonly config: Config;
  readonly broker: Broker;
  readonly calls: BrokerCalls;
  readonly pages: Pages;
  readonly closing: AbortSignal;
}

export class Archive {
  readonly #context: ArchiveContext;

  constructor(context: ArchiveContext) {
    this.#context = context;
  }

  /** Whether the room keeps history, by the current options. */
  keeps(room: string): boolean {
    const { broker, config } = this.#context;
    if (broker.history === undefined) return false;
    return settingsFor(config, namespaceOf(room), historyPolicy).historyMessages > 0;
  }

  /** Whether any room keeps history, by the current options. */
  get keepsAny(): boolean {
    const { broker, config } = this.#context;
    if (broker.history === undefined) return false;
    for (const { historyMessages } of histories(config).values()) {
      if (historyMessages > 0) return true;
    }
    return false;
  }

  /** @throws Refusal `not_enabled` */
  check(room: string): void {
    if (this.keeps(room)) return;
    throw new Refusal(
      'not_enabled',
      this.#context.broker.history === undefined
        ? 'The broker keeps no messages.'
        : `No messages are kept in the namespace ${namespaceOf(room)}: its historyMessages is 0.`,
    );
  }

  /**
   * @throws Refusal `not_enabled`, `broker_unavailable`, `shutting_down`. It rejects with them where the
   * broker answers asynchronously. The same holds for `purge`.
   */
  read(room: string, range: Range): MaybePromise<Past> {
    this.#mayDo(room);
    return this.#context.calls.history(room, range);
  }

  /** Deletes the history of the room up to `through`; no member is sent it any more. */
  purge(room: string, through: number): MaybePromise<void> {
    this.#mayDo(room);
    const { calls, pages } = this.#context;
    const answer = calls.purge(room, through);
    if (answer instanceof Promise) return answer.then(() => pages.forget(room));
    pages.forget(room);
  }

  #mayDo(room: string): void {
    if (this.#context.closing.aborted) throw shuttingDown();
    this.check(room);
  }
}
