/** The tokens of the client: when they are requested, sent, and what happens after a refusal. */
import { describe, expect, it } from 'vitest';
import { Unauthorised } from '../../client/src/index.js';
import { rig } from './rig.js';

describe('the token', () => {
  const tokenOf = (server: { tokens: Set<string> }, token: string) => {
    server.tokens.add(token);
    return token;
  };

  it('is sent in the first frame, before joins, and requested for each connection', async () => {
    const asked: string[] = [];
    const { server, client, pass } = rig(
      { auth: 'required' },
      {
        getToken: ({ reason }) => {
          asked.push(reason);
          return tokenOf(server, `t${asked.length}`);
        },
      },
    );
    void client.room('a').join();
    await pass(10);
    expect(server.socket.sent.map(({ type }) => type)).toEqual(['auth', 'join']);
    expect(client.room('a').state).toBe('joined');
    server.socket.drop();
    await pass(2000);
    expect(server.socket.sent[0]).toMatchObject({ type: 'auth', token: 't2' });
    expect(asked).toEqual(['connect', 'connect']);
    expect(server.opened.some(({ url }) => url.includes('t1'))).toBe(false);
  });

  it('is refreshed on the living connection after refreshInMs, and on `expiring`', async () => {
    const asked: string[] = [];
    const { server, pass } = rig(
      { auth: 'required' },
      {
        getToken: async ({ reason }) => {
          asked.push(reason);
          await new Promise((resolve) => setTimeout(resolve, 10));
          return tokenOf(server, `t${asked.length}`);
        },
      },
    );
    await pass(480_100);
    expect(asked).toEqual(['connect', 'expiring']);
    server.socket.say({ type: 'expiring', inMs: 30_000 });
    server.socket.say({ type: 'expiring', inMs: 30_000 });
    await pass(100);
    expect(asked).toEqual(['connect', 'expiring', 'expiring']);
    expect(server.sockets).toHaveLength(1);
  });

  it('that is rejected is requested once more; the second rejection is final', async () => {
    const asked: string[] = [];
    const { server, client, states, pass } = rig(
      { auth: 'required' },
      {
        getToken: ({ reason }) => {
          asked.push(reason);
          return 'wrong';
        },
      },
    );
    await pass(10_000);
    expect(asked).toEqual(['connect', 'rejected']);
    expect(server.sockets).toHaveLength(2);
    expect(states.at(-1)).toBe('closed 4001');
    await expect(client.room('a').join()).rejects.toMatchObject({ code: 'unauthorised' });
  });

  it('that is rejected once makes only the next request have the reason "rejected"', async () => {
    const asked: string[] = [];
    const { server, pass } = rig(
      { auth: 'required' },
      {
        getToken: ({ reason }) => {
          asked.push(reason);
          return asked.length === 1 ? 'wrong' : tokenOf(server, 't');
        },
      },
    );
    await pass(1000);
    server.socket.drop();
    await pass(3000);
    expect(asked).toEqual(['connect', 'rejected', 'connect']);
  });

  it('that is rejected long after an accepted one is requested again', async () => {
    const { server, client, pass } = rig(
      { auth: 'required' },
      { getToken: () => tokenOf(server, 't') },
    );
    for (let i = 0; i < 4; i += 1) {
      await pass(100);
      expect(client.state).toBe('online');
      server.socket.evict(4001);
    }
    await pass(100);
    expect(client.state).toBe('online');
  });

  it.each([4105, 4106])('with %s is requested again, and never final', async (code) => {
    let asked = 0;
    const { server, client, pass } = rig(
      { auth: 'required' },
      {
        getToken: () => {
          asked += 1;
          return tokenOf(server, 't');
        },
      },
    );
    for (let i = 0; i < 6; i += 1) {
      await pass(40_000);
      server.socket.evict(code);
    }
    await pass(40_000);
    expect([client.state, asked]).toEqual(['online', 7]);
  });

  it.each([
    ['throws', () => Promise.reject(new Error('network'))],
    [
      'throws at once',
      () => {
        throw new Error('network');
      },
    ],
    ['hangs', () => new Promise<string>(() => {})],
  ])(
    'whose function %s is retried with pauses, and is an error in the end',
    async (_, getToken) => {
      const { server, states, errors, pass } = rig({}, { getToken });
      await pass(120_000);
      expect(server.sockets).toHaveLength(0);
      expect(states).toContain('waiting token_failed');
      expect(errors).toEqual(['unreachable']);
    },
  );

  it('whose function throws reports what was thrown with the state', async () => {
    const getToken = () => Promise.reject(new Error('the login server answers 500'));
    const { client, pass } = rig({}, { getToken });
    const reasons: unknown[] = [];
    client.on('state', ({ reason }) => reason && reasons.push(reason));
    await pass(10);
    const message = 'Error: the login server answers 500';
    expect(reasons).toEqual([{ code: 'token_failed', message }]);
  });

  it('aborts the signal of its function at the timeout', async () => {
    let signal: AbortSignal | undefined;
    const { client, pass } = rig(
      {},
      {
        getToken: (context) => {
          signal = context.signal;
          return new Promise(() => {});
        },
      },
    );
    await pass(9900);
    expect(signal!.aborted).toBe(false);
    await pass(200);
    expect(signal!.aborted).toBe(true);
    await pass(1000);
    await client.close();
    expect(signal!.aborted).toBe(true);
  });

  it('is not requested again while a request is in progress', async () => {
    let asked = 0;
    let give = (_: string) => {};
    const { server, client, pass } = rig(
      { auth: 'required' },
      {
        getToken: () => {
          asked += 1;
          return asked === 1
            ? tokenOf(server, 't')
            : new Promise((resolve) => {
                give = resolve;
              });
        },
      },
    );
    await pass(100);
    server.socket.say({ type: 'expiring', inMs: 30_000 });
    await pass(100);
    for (let i = 0; i < 20; i += 1) {
      server.socket.drop();
      await pass(200);
    }
    expect(asked).toBe(2);
    give('t');
    await pass(2000);
    expect([client.state, asked]).toEqual(['online', 2]);
  });

  it('is final after Unauthorised', async () => {
    const { states, pass } = rig(
      {},
      {
        getToken: () => {
          throw new Unauthorised();
        },
      },
    );
    await pass(100);
    expect(states).toEqual(['closed unauthorised']);
  });

  it('is not sent if the server has authentication off, which is reported once', async () => {
    const { server, client, errors, pass } = rig({ features: [] }, { getToken: () => 'secret' });
    await pass(100);
    server.socket.drop();
    await pass(1000);
    expect(client.state).toBe('online');
    expect(errors).toEqual(['not_offered']);
    expect(JSON.stringify(server.sockets.map(({ sent }) => sent))).not.toContain('secret');
  });

  it('retries the joins of rooms that were not allowed before', async () => {
    const { server, client, pass } = rig(
      { auth: 'required' },
      { getToken: () => tokenOf(server, 't') },
    );
    server.answers.set('join', (socket, command) => server.refuse(socket, command, 'not_allowed'));
    await expect(Promise.all([client.room('a').join(), pass(100)])).rejects.toMatchObject({
      code: 'not_allowed',
      room: 'a',
      retryable: false,
    });
    expect(client.room('a').state).toBe('failed');
    server.answers.clear();
    server.socket.say({ type: 'expiring', inMs: 1000 });
    await pass(100);
    expect(client.room('a').state).toBe('joined');
  });
});
