/**
 * What everybody may in the rooms of a namespace (`joinBy` and the like), and what that makes of what
 * one user is granted: it may what the namespace allows, and what it is granted, unless the namespace
 * says nobody. Where there are keys, nothing is allowed that nobody has allowed.
 *
 * Not here: grants (`grants.ts`), revocations, which take away from this.
 */
import type { Config } from '../options/config.js';
import { namespaceNames, namespaceOf, settingsFor } from '../options/namespaces.js';
import { permissions, type WHO } from '../options/permissions.js';
import { wholePattern } from '../options/room-names.js';
import { type Action, ANYONE, type Identity, type Info } from '../room/identity.js';

/** Says what somebody may beside what everybody may. */
export interface Granted {
  readonly user: string | null;
  readonly info?: Info | undefined;
  may(action: Action, room: string): boolean;
}

/** `joiner`: whoever may join. */
type Rule = Exclude<(typeof WHO)[number], 'auto'> | 'joiner';
type Rules = Readonly<Record<Action, Rule>>;

const NOTHING = () => false;

export class Permissions {
  readonly #rules: ReadonlyMap<string, Rules>;
  readonly #others: Rules;
  readonly #roomName: RegExp;
  /** What somebody may who has not said who they are. */
  readonly nobody: Identity;

  /** `isOn`: whether there is a way to say who one is. */
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

  /** How a user is called in the names of its rooms: in base64url where rooms cannot have its characters. */
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
