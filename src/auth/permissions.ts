/**
 * The rules of a namespace (`joinBy` and the like), combined with the grants of a user: a user may do what
 * the namespace allows and what is granted to it, unless the rule is `nobody`. If authentication is on,
 * the default is to allow only what is granted.
 *
 * Not here: grants (`grants.ts`), revocations, which restrict the result.
 */
import type { Config } from '../options/config.js';
import { namespaceNames, namespaceOf, settingsFor } from '../options/namespaces.js';
import { permissions, type WHO } from '../options/permissions.js';
import { wholePattern } from '../options/room-names.js';
import { type Action, ANYONE, type Identity, type Info } from '../room/identity.js';

/** A user and its grants. */
export interface Granted {
  readonly user: string | null;
  readonly info?: Info | undefined;
  may(action: Action, room: string): boolean;
}

/** `joiner`: everybody who may join. */
type Rule = Exclude<(typeof WHO)[number], 'auto'> | 'joiner';
type Rules = Readonly<Record<Action, Rule>>;

const NOTHING = () => false;

export class Permissions {
  readonly #rules: ReadonlyMap<string, Rules>;
  readonly #others: Rules;
  readonly #roomName: RegExp;
  /** The identity of an unauthenticated connection. */
  readonly nobody: Identity;

  /** `isOn`: whether connections can authenticate. */
  constructor(config: Config, isOn: boolean) {
    const byDefault = isOn ? 'grant' : 'anyone';
    this.#rules = new Map(
      namespaceNames(config).map((name) => {
        const { joinBy, publishBy, historyBy, presenceBy } = settingsFor(config, name, permissions);
        return [
          name,
          {
            join: joinBy === 'auto' ? byDefault : joinBy,
            publish: publishBy === 'auto' ? byDefault : publishBy,
            history: historyBy === 'auto' ? 'joiner' : historyBy,
            presence: presenceBy === 'auto' ? 'joiner' : presenceBy,
          },
        ];
      }),
    );
    this.#others = this.#rules.get('default') as Rules;
    this.#roomName = wholePattern(config.roomNamePattern);
    const isOpen = [...this.#rules.values()].every((rules) =>
      Object.values(rules).every((rule) => rule === 'anyone' || rule === 'joiner'),
    );
    this.nobody = isOpen ? ANYONE : this.of({ user: null, may: NOTHING });
  }

  of(granted: Granted): Identity {
    const { user, info } = granted;
    const owner = user === null ? null : this.#nameOf(user);
    return {
      user,
      info,
      may: (action, room) => this.#may(action, room, granted, owner),
    };
  }

  /** The user as part of a room name: in base64url if a room name cannot contain its characters. */
  #nameOf(user: string): string {
    const isName = !user.includes(':') && this.#roomName.test(user);
    return isName ? user : Buffer.from(user).toString('base64url');
  }

  #may(action: Action, room: string, granted: Granted, owner: string | null): boolean {
    const rule = (this.#rules.get(namespaceOf(room)) ?? this.#others)[action];
    switch (rule) {
      case 'anyone':
        return true;
      case 'nobody':
        return false;
      case 'users':
        return granted.user !== null || granted.may(action, room);
      case 'owner':
        return (owner !== null && room.split(':', 2)[1] === owner) || granted.may(action, room);
      case 'grant':
        return granted.may(action, room);
      case 'joiner':
        return this.#may('join', room, granted, owner) || granted.may(action, room);
    }
  }
}
