/**
 * What an app has to say of what one connection does. Only made where it has: asked before the room is,
 * when everything that needs no waiting has been looked at, and looked at again afterwards by the hub (V15).
 * V8: what is under way is told when the session ends.
 *
 * Not here: what it answers (`auth/app.ts`), who the connection is (`identity.ts`).
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

  /** Whether a message waits for its answer, and so for the one before it. */
  get holdsMessages(): boolean {
    return this.#app.answers('publish');
  }

  /** Resolves where it may be joined; undefined where nobody is asked. @throws Refusal, or rejects with one */
  join(room: string): Promise<void> | undefined {
    if (!this.#app.answers('join')) return undefined;
    this.#context.hub.memberships.checkJoin(this.#member, room);
    return this.#app.join(this.#who, room, this.#ended.signal);
  }

  /** What is to be published; the text itself where nobody is asked. @throws Refusal, or rejects with one */
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
