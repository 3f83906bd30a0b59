/**
 * Asks the embedding application about a connection's joins and publishes. Only created if the
 * application has such hooks. It is asked after all checks that need no waiting; the hub repeats these
 * afterwards (V15). V8: the end of the session aborts pending calls.
 *
 * Not here: the application's hooks (`auth/app.ts`), the connection's identity (`identity.ts`).
 */
import type { App } from '../auth/app.js';
import type { Who } from '../auth/auth.js';
import { shuttingDown } from '../errors.js';
import type { CommandLimits } from '../protocol/fields.js';
import type { Hub } from '../room/hub.js';
import type { Member } from '../room/member.js';
import type { Handshake } from '../transport/transport.js';

export interface AskingContext {
  readonly hub: Hub;
  readonly limits: CommandLimits;
}

export class Asking {
  readonly #app: App;
  readonly #member: Member;
  readonly #handshake: Handshake;
  readonly #context: AskingContext;
  readonly #ended = new AbortController();

  constructor(app: App, member: Member, handshake: Handshake, context: AskingContext) {
    this.#app = app;
    this.#member = member;
    this.#handshake = handshake;
    this.#context = context;
  }

  /** Whether publishes wait for the application's answer, and so for the publish before them. */
  get holdsMessages(): boolean {
    return this.#app.answers('publish');
  }

  /**
   * Resolves if the room may be joined; undefined if there is no hook.
   * @throws Refusal, or rejects with one
   */
  join(room: string): Promise<void> | undefined {
    if (!this.#app.answers('join')) return undefined;
    this.#context.hub.memberships.checkJoin(this.#member, room);
    return this.#app.join(this.#who, room, this.#ended.signal);
  }

  /**
   * The text to publish; `text` itself if there is no hook.
   * @throws Refusal, or rejects with one
   */
  publish(room: string, text: string): Promise<string> | string {
    if (!this.holdsMessages) return text;
    const { hub, limits } = this.#context;
    hub.checkPublisher(this.#member, room);
    return this.#app.publish(this.#who, room, text, limits, this.#ended.signal);
  }

  end(): void {
    this.#ended.abort(shuttingDown());
  }

  get #who(): Who {
    const { id: member, identity } = this.#member;
    return { member, user: identity.user, handshake: this.#handshake };
  }
}
