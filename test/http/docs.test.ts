import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { REFUSAL, type RefusalCode } from '../../src/errors.js';
import { ROOM_NAME } from '../../src/http/room-name.js';
import { hasChromium, launchChromium } from '../support/chromium.js';
import { openapi } from '../support/openapi.js';
import { type Served, serve } from './support.js';

interface Operation {
  operationId: string;
  security?: object[];
  responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>;
}
interface Schema {
  properties: Record<string, { enum?: RefusalCode[] }>;
}
interface Document extends Record<string, unknown> {
  paths: Record<string, Record<string, Operation>>;
}

let server: Served;
let document: Document;
beforeAll(async () => {
  server = await serve();
  document = (await server.ask('GET', '/v1/openapi.json')).body as Document;
});
afterAll(() => server.stop());

const ALWAYS: RefusalCode[] = ['forbidden', 'internal_error', 'unauthorised'];
const ONE: RefusalCode[] = [
  'bad_command',
  'bad_room',
  'broker_unavailable',
  'broker_uncertain',
  'message_too_big',
  'room_busy',
  'shutting_down',
  'too_deep',
];

const KEPT: RefusalCode[] = [
  'bad_command',
  'bad_position',
  'bad_room',
  'broker_unavailable',
  'not_enabled',
  'shutting_down',
];

/** Every route with the codes it may be refused with, besides `ALWAYS`. */
const ROUTES: Record<string, RefusalCode[]> = {
  'post /v1/rooms/{room}/messages': ['bad_json', 'server_busy', ...ONE],
  'post /v1/messages': ['bad_json', 'bad_command', 'message_too_big', 'server_busy'],
  'get /v1/rooms/{room}/messages': KEPT,
  'delete /v1/rooms/{room}/messages': [...KEPT, 'worker_unavailable'],
  'get /v1/profiles/cpu': ['bad_command', 'not_found', 'server_busy', 'shutting_down'],
  'get /v1/profiles/heap': ['bad_command', 'not_found', 'server_busy', 'shutting_down'],
  'get /v1/rooms': ['bad_command'],
  'get /v1/rooms/{room}': ['bad_room', 'not_found', 'worker_unavailable'],
  'get /v1/rooms/{room}/presence': ['bad_command', 'bad_room', 'not_enabled', 'broker_unavailable'],
  'get /v1/rooms/{room}/presence/{user}': [
    'bad_room',
    'not_enabled',
    'not_found',
    'broker_unavailable',
  ],
  'get /v1/members': ['bad_command', 'bad_room'],
  'get /v1/members/{id}': ['not_found', 'worker_unavailable'],
  'delete /v1/members/{id}': ['not_found', 'worker_unavailable'],
  'get /v1/users/{user}': ['not_enabled'],
  'delete /v1/users/{user}': ['not_enabled'],
  'post /v1/revocations': ['bad_json', 'bad_command', 'not_enabled', 'revocations_full'],
  'get /v1/revocations': ['not_enabled'],
  'delete /v1/revocations/{id}': ['not_found', 'not_enabled', 'worker_unavailable'],
  'get /v1/live': ['too_many_viewers'],
  'get /v1/locks': [],
};

describe('/v1/openapi.json', () => {
  it('is committed as the routes generate it', async () => {
    const shipped = new URL('../../docs/openapi.json', import.meta.url).pathname;
    const made = `${JSON.stringify(await openapi(), null, 2)}\n`;
    await expect(made).toMatchFileSnapshot(shipped);
  });

  it('has the options of this server', async () => {
    const other = await serve({ metrics: false, maxRoomNameLength: 7, roomNamePattern: 'a+' });
    onTestFinished(() => other.stop());
    const { info, paths } = (await other.ask('GET', '/v1/openapi.json')).body as Document;
    expect(info).toMatchObject({ version: '1.2.3' });
    expect(paths).not.toHaveProperty('/metrics');
    const { parameters } = paths['/v1/rooms/{room}']!['get'] as unknown as { parameters: object[] };
    expect(parameters[0]).toMatchObject({ schema: { maxLength: 7, pattern: '^(?:a+)$' } });
  });

  it('is valid OpenAPI', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
  });

  it('lists every route', () => {
    const routes = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    );
    const open = ['get /healthz', 'get /readyz', 'get /metrics'];
    expect(routes.sort()).toEqual([...open, ...Object.keys(ROUTES)].sort());
  });

  it('describes every tag, since the reference has a section for each', () => {
    const { tags, paths } = document as unknown as {
      tags: { name: string }[];
      paths: Record<string, Record<string, { tags: string[] }>>;
    };
    const used = Object.values(paths).flatMap((each) =>
      Object.values(each).flatMap((operation) => operation.tags),
    );
    expect(tags.map(({ name }) => name).sort()).toEqual([...new Set(used)].sort());
  });

  it.each(Object.entries(ROUTES))('%s lists its refusals by status', (route, codes) => {
    const [method = '', path = ''] = route.split(' ');
    const { responses, security } = document.paths[path]![method]!;
    expect(security).toEqual([{ key: [] }]);
    const listed = Object.entries(responses).flatMap(([status, { content }]) => {
      if (Number(status) < 300) return [];
      const { schema } = content!['application/json']!;
      const codes = schema.properties['code']!.enum!;
      for (const code of codes) expect(REFUSAL[code].status).toBe(Number(status));
      return codes;
    });
    expect(listed.sort()).toEqual([...codes, ...ALWAYS].sort());
  });

  it('documents the names of rooms and keys as they are checked', async () => {
    const text = JSON.stringify(document.paths);
    const room = { title: ROOM_NAME, minLength: 1, maxLength: 200, pattern: expect.any(String) };
    const publish = document.paths['/v1/rooms/{room}/messages']!['post']! as unknown as {
      parameters: { schema: { pattern: string } }[];
      requestBody: { content: Record<string, { schema: { properties: object } }> };
    };
    const [{ schema }] = publish.parameters as [{ schema: { pattern: string } }];
    expect(schema).toMatchObject(room);
    expect(publish.requestBody.content['application/json']!.schema.properties).toMatchObject({
      key: { minLength: 1, maxLength: expect.any(Number) },
    });
    expect(text.split(JSON.stringify(schema.pattern))).toHaveLength(8);
    const pattern = new RegExp(schema.pattern);
    for (const name of ['chat:lobby', 'a b', 'ä', '~']) {
      const path = `/v1/rooms/${encodeURIComponent(name)}/messages`;
      const { status } = await server.ask('POST', path, { json: { data: 1 } });
      expect([name, status]).toEqual([name, pattern.test(name) ? 200 : 400]);
    }
  });

  it('describes every response', () => {
    for (const operations of Object.values(document.paths)) {
      for (const { responses } of Object.values(operations)) {
        for (const { description } of Object.values(responses)) {
          expect(description).not.toBe('Default Response');
        }
      }
    }
  });
});

describe('/docs', () => {
  it.skipIf(!hasChromium)(
    'works in a browser, where a message can be tried out',
    { timeout: 60_000 },
    async () => {
      const browser = await launchChromium();
      try {
        const page = await browser.newPage();
        const trouble: string[] = [];
        const hosts = new Set<string>();
        page.on('console', (line) => line.type() === 'error' && trouble.push(line.text()));
        page.on('pageerror', (error) => trouble.push(error.message));
        page.on('request', (request) => hosts.add(new URL(request.url()).host));
        await page.goto(`http://127.0.0.1:${server.port}/docs`);
        const publish = page.locator('section#publish');
        await publish.getByText('Try it').click();
        await publish.getByLabel('room').fill('chat:a/b');
        await publish.getByText('Send').click();
        const answer = publish.getByText('"room": "chat:a/b"');
        await answer.waitFor();
        expect(await answer.textContent()).toMatch(/^200 OK\n/);
        const list = page.locator('section#listMembers');
        await list.getByText('Try it').click();
        await list.getByLabel('limit').fill('1');
        await list.getByText('Send').click();
        await list.getByText('"total": 0').waitFor();
        expect(trouble).toEqual([]);
        expect([...hosts]).toEqual([`127.0.0.1:${server.port}`]);
      } finally {
        await browser.close();
      }
    },
  );
});
