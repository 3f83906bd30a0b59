import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REFUSAL, type RefusalCode } from '../../src/errors.js';
import { hasChromium, launchChromium } from '../support/chromium.js';
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

/** Every route, and the codes it may be refused with beside `ALWAYS`. */
const ROUTES: Record<string, RefusalCode[]> = {
  'post /v1/rooms/{room}/messages': ['bad_json', 'server_busy', ...ONE],
  'post /v1/messages': ['bad_json', 'bad_command', 'message_too_big', 'server_busy'],
  'get /v1/rooms': ['bad_command'],
  'get /v1/rooms/{room}': ['bad_room', 'not_found'],
  'get /v1/members': ['bad_command', 'bad_room'],
  'get /v1/members/{id}': ['not_found'],
  'delete /v1/members/{id}': ['not_found'],
  'get /v1/live': ['too_many_viewers'],
  'get /v1/locks': [],
};

describe('/v1/openapi.json', () => {
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

  it('says what a room and a key may be, as they are checked', async () => {
    const text = JSON.stringify(document.paths);
    const room = { type: 'string', minLength: 1, maxLength: 200, pattern: expect.any(String) };
    const publish = document.paths['/v1/rooms/{room}/messages']!['post']! as unknown as {
      parameters: { schema: { pattern: string } }[];
      requestBody: { content: Record<string, { schema: { properties: object } }> };
    };
    const [{ schema }] = publish.parameters as [{ schema: { pattern: string } }];
    expect(schema).toEqual(room);
    expect(publish.requestBody.content['application/json']!.schema.properties).toMatchObject({
      key: { minLength: 1, maxLength: expect.any(Number) },
    });
    expect(text.split(JSON.stringify(schema.pattern))).toHaveLength(4);
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
  it('comes with a policy under which nothing is loaded from elsewhere', async () => {
    const { headers, status } = await server.ask('GET', '/docs');
    expect(status).toBe(200);
    const policy = headers['content-security-policy'] as string;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self';");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toMatch(/https?:/);
  });

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
        const publish = page.locator('#operations-messages-publish');
        await publish.locator('.opblock-summary-control').click();
        await publish.getByText('Try it out').click();
        await publish.getByPlaceholder('room').fill('chat:lobby');
        await publish.getByText('Execute').click();
        const answer = publish.locator('.live-responses-table .response-col_description pre');
        await answer.first().waitFor();
        expect(await answer.first().textContent()).toContain('"chat:lobby"');
        expect(trouble).toEqual([]);
        expect([...hosts]).toEqual([`127.0.0.1:${server.port}`]);
      } finally {
        await browser.close();
      }
    },
  );
});
