/** The private parts of the library are as expected, and a missing one is detected. */
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { checkShape } from '../../src/transport/sockjs-library.js';

type Internals = Parameters<typeof checkShape>[0];
type Session = InstanceType<Internals['Session']>;

const installed = createRequire(import.meta.url)('sockjs/lib/transport') as Internals;
const { Session, ResponseReceiver } = installed;

describe('the shape of the library', () => {
  test('is as described', () => {
    expect(() => checkShape(installed)).not.toThrow();
  });

  test.each<[string, Partial<Internals>]>([
    [
      'Session.flushToRecv is different',
      {
        Session: class extends Session {
          override register(req: object, receiver: Parameters<Session['register']>[1]) {
            this.flushToRecv = () => false;
            super.register(req, receiver);
          }
        } as Internals['Session'],
      },
    ],
    [
      'Session.register',
      {
        Session: class extends Session {
          override register() {}
        } as Internals['Session'],
      },
    ],
    [
      'Session.recv',
      {
        Session: class extends Session {
          override get recv() {
            return null;
          }
          override set recv(_: null) {}
        } as Internals['Session'],
      },
    ],
    [
      'Session.didTimeout is different',
      {
        Session: class extends Session {
          override didTimeout() {}
        } as Internals['Session'],
      },
    ],
    ['bySessionId', { Session: class {} as unknown as Internals['Session'] }],
    [
      'ResponseReceiver.max_response_size is different',
      {
        ResponseReceiver: class extends ResponseReceiver {
          override readonly max_response_size = 0;
        },
      },
    ],
    [
      'ResponseReceiver.curr_response_size is different',
      {
        ResponseReceiver: class extends ResponseReceiver {
          override get curr_response_size() {
            return 0;
          }
          override set curr_response_size(_: number) {}
        },
      },
    ],
    [
      'ResponseReceiver.heartbeat is different',
      {
        ResponseReceiver: class extends ResponseReceiver {
          override heartbeat() {}
        },
      },
    ],
    [
      'ResponseReceiver.didClose',
      {
        ResponseReceiver: class extends ResponseReceiver {
          override didClose() {}
        },
      },
    ],
  ])('without %s, the server does not start', (part, replaced) => {
    expect(() => checkShape({ ...installed, ...replaced })).toThrow(
      /^sockjs is not the release this server is made for \(0\.3\.24\): .*is different$/,
    );
    if (part.endsWith('is different')) {
      expect(() => checkShape({ ...installed, ...replaced })).toThrow(part);
    }
  });
});
