/** The rules of a namespace, with and without keys, and the effect of grants. */
import { describe, expect, it } from 'vitest';
import { Permissions } from '../../src/auth/permissions.js';
import { type Config, defaults } from '../../src/options/config.js';
import { type Action, ANYONE } from '../../src/room/identity.js';

const of = (config: Partial<Config>, isOn = true) =>
  new Permissions({ ...defaults, ...config }, isOn);
const granted =
  (...actions: Action[]) =>
  (action: Action) =>
    actions.includes(action);
const none = granted();

describe('without keys', () => {
  it('everybody may do everything, at no cost', () => {
    expect(of({}, false).nobody).toBe(ANYONE);
  });

  it('a namespace can still be restricted', () => {
    const { nobody } = of({ namespaces: { news: { publishBy: 'nobody' } } }, false);
    expect(nobody.may('publish', 'news:a')).toBe(false);
    expect(nobody.may('join', 'news:a')).toBe(true);
    expect(nobody.may('publish', 'chat:a')).toBe(true);
  });
});

describe('with keys', () => {
  it('nothing is allowed by default', () => {
    const permissions = of({});
    for (const action of ['join', 'publish', 'history', 'presence'] as const) {
      expect(permissions.nobody.may(action, 'a')).toBe(false);
      expect(permissions.of({ user: '42', may: none }).may(action, 'a')).toBe(false);
      expect(permissions.of({ user: '42', may: granted(action) }).may(action, 'a')).toBe(true);
    }
  });

  it.each([
    ['anyone', true, true, true],
    ['users', false, true, true],
    ['owner', false, false, true],
    ['grant', false, false, true],
    ['nobody', false, false, false],
  ] as const)('joinBy %s', (joinBy, anonymous, user, withGrant) => {
    const permissions = of({ namespaces: { own: { joinBy } } });
    const may = (who: string | null, what = none) =>
      permissions.of({ user: who, may: what }).may('join', 'own:7:inbox');
    expect([may(null), may('42'), may('42', granted('join'))]).toEqual([
      anonymous,
      user,
      withGrant,
    ]);
  });

  it('a room belongs to the user whose id, or its base64url form, follows the namespace', () => {
    const permissions = of({ joinBy: 'owner' });
    const may = (user: string, room: string) =>
      permissions.of({ user, may: none }).may('join', room);
    expect(may('42', 'own:42')).toBe(true);
    expect(may('42', 'own:42:inbox')).toBe(true);
    expect(may('4', 'own:42')).toBe(false);
    expect(may('42', 'own:4')).toBe(false);
    expect(may('42', '42')).toBe(false);
    expect(may('own', 'own')).toBe(false);
    const odd = 'auth0|1 ü';
    expect(may(odd, `own:${Buffer.from(odd).toString('base64url')}:a`)).toBe(true);
    // A user id that can be a room name is used as such, so that no user equals another one's base64url form.
    expect(may('42', `own:${Buffer.from('42').toString('base64url')}`)).toBe(false);
  });

  it('history and presence follow join unless they are set', () => {
    const follows = of({ joinBy: 'users' }).of({ user: '42', may: none });
    expect(follows.may('history', 'a')).toBe(true);
    const own = of({ joinBy: 'users', historyBy: 'grant', presenceBy: 'nobody' });
    expect(own.of({ user: '42', may: none }).may('history', 'a')).toBe(false);
    expect(own.of({ user: '42', may: granted('history') }).may('history', 'a')).toBe(true);
    expect(own.of({ user: '42', may: granted('presence') }).may('presence', 'a')).toBe(false);
  });
});
