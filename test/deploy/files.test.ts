/**
 * Checks the files of `deploy/` and the Dockerfile as far as possible without the programs they are for:
 * each parses, and names only existing options, ports, paths and metrics. `proxies.test.ts` runs the
 * proxies. No image was built and no cluster was used (docs/deploy.md).
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { CATALOGUE } from '../../src/metrics/catalogue/index.js';
import { checkConfig, defaults } from '../../src/options/config.js';
import { options } from '../../src/options/index.js';
import { serve } from '../support/server.js';

const ROOT = new URL('../../', import.meta.url).pathname;
const CHART = join(ROOT, 'deploy/helm/roomcast');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

const files = [
  'Dockerfile',
  ...readdirSync(join(ROOT, 'deploy'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(ROOT.length)),
];
const texts = files.map((name) => [name, read(name)] as const);

/** All distinct matches of a pattern in all files. */
const found = (pattern: RegExp) => [
  ...new Set(texts.flatMap(([, text]) => Array.from(text.matchAll(pattern), ([match]) => match))),
];

/** The seconds in `15s`. */
const seconds = (text: string) => Number(/^(\d+)s$/.exec(text)?.[1]);

test('every variable and flag belongs to an option', () => {
  const variables = new Set(options.flatMap(({ env }) => [env, `${env}_FILE`]));
  const named = found(/\bROOMCAST_[A-Z_]+/g);
  expect(named.length).toBeGreaterThan(4);
  expect(named.filter((name) => !variables.has(name))).toEqual([]);
  const flags = new Set(options.map(({ flag }) => `--${flag}`));
  const OF_OTHERS =
    /^--(build|prefix|from|platform|config|omit|ignore-scripts|health-cmd|interval|timeout|start-period|start-interval|spider|storage|appendonly|maxmemory-policy|client-output-buffer-limit)\b/;
  const used = found(/(?<![\w-])--[a-z][a-z-]+/g).filter((flag) => !OF_OTHERS.test(flag));
  expect(used).toContain('--trust-proxy');
  expect(used.filter((flag) => !flags.has(flag))).toEqual([]);
});

test('every path is answered, and every metric exists', async () => {
  const { url } = await serve();
  const paths = found(/(?<=[ /}0])\/(healthz|readyz|metrics)\b/g);
  expect(paths.sort()).toEqual(['/healthz', '/metrics', '/readyz']);
  for (const path of paths) expect((await fetch(url + path)).status).toBe(200);
  const metrics = new Set<string>(Object.values(CATALOGUE).map(({ name }) => name));
  const own = texts.filter(([name]) => !name.endsWith('rules.yml') && name.includes('helm'));
  const named = own.flatMap(([, text]) =>
    Array.from(text.matchAll(/\broomcast_[a-z_]+/g), ([match]) => match),
  );
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((name) => !metrics.has(name))).toEqual([]);
});

describe('the Dockerfile', () => {
  const text = read('Dockerfile');

  test('is valid, with the default ports', () => {
    const lines = text.replace(/\\\n/g, '').split('\n');
    const instructions = lines.filter((line) => line !== '' && !line.startsWith('#'));
    const KNOWN = /^(FROM|WORKDIR|COPY|RUN|ENV|USER|EXPOSE|HEALTHCHECK|ENTRYPOINT|CMD) \S/;
    expect(instructions.filter((line) => !KNOWN.test(line))).toEqual([]);
    expect(instructions[0]).toMatch(/^FROM .* AS build$/);
    const internal = /ROOMCAST_INTERNAL_PORT=(\d+)/.exec(text)?.[1];
    const ports = [defaults.port, internal];
    expect(text).toContain(`\nEXPOSE ${ports.join(' ')}\n`);
    expect(text.match(/^USER .*$/gm)).toEqual(['USER node']);
  });

  test('starts the command, and its health check reports the state', async () => {
    const exec = (pattern: RegExp) => JSON.parse(pattern.exec(text)?.[1] as string) as string[];
    const [node, main, command] = [...exec(/\nENTRYPOINT (.*)/), ...exec(/\nCMD (.*)/)];
    expect([node, existsSync(join(ROOT, main as string)), command]).toEqual([
      'node',
      true,
      'serve',
    ]);
    const [, ...check] = exec(/HEALTHCHECK [^[]*CMD (.*)/);
    const server = await serve();
    const health = () =>
      new Promise((resolve) => {
        const args = check.map((arg) => arg.replace('http://127.0.0.1:8080', server.url));
        execFile(process.execPath, args, (error) => resolve(error?.code ?? 0));
      });
    expect(await health()).toBe(0);
    await server.close();
    expect(await health()).toBe(1);
  });

  test('copies everything that the server reads', async () => {
    const image = mkdtempSync(join(tmpdir(), 'roomcast-image-'));
    onTestFinished(() => rmSync(image, { recursive: true }));
    const copies = [...text.matchAll(/^COPY --from=build \/roomcast\/(\S+) (\S+)$/gm)];
    for (const [, from = '', to = ''] of copies) {
      const target = join(image, to.endsWith('/') ? join(to, basename(from)) : to);
      mkdirSync(dirname(target), { recursive: true });
      if (from === 'node_modules') symlinkSync(join(ROOT, from), target);
      else cpSync(join(ROOT, from), target, { recursive: true });
    }
    const child = spawn(process.execPath, ['dist/cli/main.js', 'serve', '--port', '0'], {
      cwd: image,
      env: { ...process.env, ROOMCAST_LOG_FORMAT: 'json' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    const { msg, url } = JSON.parse(line);
    expect(msg).toBe('serving');
    for (const path of [
      '/',
      '/docs',
      '/runbook',
      '/client.js',
      '/v1/openapi.json',
      '/sockjs/info',
    ]) {
      expect([path, (await fetch(url + path)).status]).toEqual([path, 200]);
    }
  });

  test('contains the Redis client, which has no dependencies', () => {
    expect(text).toContain('mv node_modules/@redis / ');
    const { packages } = JSON.parse(read('package-lock.json'));
    expect(packages['node_modules/@redis/client'].dependencies).toBeUndefined();
    expect(readdirSync(join(ROOT, 'node_modules/@redis'))).toEqual(['client']);
  });

  test('copies only existing files', () => {
    const ignored = read('.dockerignore').trim().split('\n');
    expect(ignored).toContain('node_modules');
    for (const needed of ['src', 'docs', 'package-lock.json'])
      expect(ignored).not.toContain(needed);
  });
});

test('compose starts each service once its dependencies are healthy, and gives it time to shut down', () => {
  const { services } = parse(read('deploy/compose.yaml')) as {
    services: Record<
      string,
      { healthcheck?: object; depends_on?: object; stop_grace_period?: string; volumes?: string[] }
    >;
  };
  const { server, prometheus, grafana } = services;
  expect(prometheus?.depends_on).toEqual({ server: { condition: 'service_healthy' } });
  expect(grafana?.depends_on).toEqual({ prometheus: { condition: 'service_healthy' } });
  expect(prometheus?.healthcheck).toBeDefined();
  expect(seconds(server?.stop_grace_period as string) * 1000).toBeGreaterThan(
    defaults.shutdownGraceMs,
  );
  for (const volume of Object.values(services).flatMap(({ volumes = [] }) => volumes)) {
    const [from = ''] = volume.split(':');
    if (from.startsWith('.'))
      expect([from, existsSync(join(ROOT, 'deploy', from))]).toEqual([from, true]);
  }
});

test('traefik refers to defined names only', () => {
  const { http } = parse(read('deploy/proxies/traefik.yml')) as {
    http: {
      routers: Record<string, { service: string; middlewares: string[] }>;
      services: Record<string, object>;
      middlewares: Record<string, object>;
    };
  };
  for (const { service, middlewares } of Object.values(http.routers)) {
    expect(Object.keys(http.services)).toContain(service);
    expect(Object.keys(http.middlewares)).toEqual(expect.arrayContaining(middlewares));
  }
});

const ANALYZE = '/usr/bin/systemd-analyze';
test.skipIf(!existsSync(ANALYZE))('systemd accepts the unit', () => {
  const unit = read('deploy/systemd/roomcast.service');
  expect(seconds(/TimeoutStopSec=(.*)/.exec(unit)?.[1] as string) * 1000).toBeGreaterThan(
    defaults.shutdownGraceMs,
  );
  expect(unit).toMatch(/^ExecReload=\/bin\/kill -HUP \$MAINPID$/m);
  const folder = mkdtempSync(join(tmpdir(), 'roomcast-unit-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'roomcast.service');
  // systemd-analyze looks for the command.
  writeFileSync(file, unit.replace('/usr/local/bin/roomcast', process.execPath));
  const { status, stderr } = spawnSync(ANALYZE, ['verify', '--man=no', file], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
});

describe('the chart', () => {
  const values = parse(read('deploy/helm/roomcast/values.yaml')) as {
    options: Record<string, number>;
    terminationGracePeriodSeconds: number;
  };

  test('has valid options, and time for the drain', () => {
    const config = checkConfig(values.options);
    const { lameDuckMs, drainMs, shutdownGraceMs } = config;
    expect(values.terminationGracePeriodSeconds * 1000).toBeGreaterThan(shutdownGraceMs);
    // Otherwise the server would shorten it.
    expect(lameDuckMs).toBeLessThanOrEqual((shutdownGraceMs - drainMs) / 2);
  });

  test('gives workers a folder for their sockets, as the rest of the image is read-only', () => {
    const deployment = read('deploy/helm/roomcast/templates/deployment.yaml');
    expect(deployment).toContain('readOnlyRootFilesystem: true');
    const [, mounts, volumes] = deployment.split(/ (?:volumeMounts|volumes):\n/);
    expect(mounts).toMatch(/^ +- name: tmp\n +mountPath: \/tmp$/m);
    expect(volumes).toMatch(/^ +- name: tmp\n +emptyDir: \{\}$/m);
  });

  const hasHelm = spawnSync('helm', ['version']).status === 0;
  if (!hasHelm) console.warn('The chart is not rendered: there is no helm, and Debian has none.');
  test.skipIf(!hasHelm)('is accepted by helm with everything enabled', () => {
    const helm = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync('helm', args, { encoding: 'utf8' });
      expect([status, stderr]).toEqual([0, '']);
      return stdout;
    };
    helm('lint', '--strict', CHART);
    const on = ['autoscaling', 'serviceMonitor', 'prometheusRule'].map(
      (each) => `${each}.enabled=true`,
    );
    const rendered = helm(
      'template',
      'rooms',
      CHART,
      '--set',
      [...on, 'secret=keys', 'options.pathPrefix=/rt'].join(),
    );
    const kinds = parseAllDocuments(rendered).map((each) => each.toJS() as { kind: string });
    expect(kinds.map(({ kind }) => kind).sort()).toEqual([
      'ConfigMap',
      'Deployment',
      'HorizontalPodAutoscaler',
      'PodDisruptionBudget',
      'PrometheusRule',
      'Service',
      'Service',
      'ServiceMonitor',
    ]);
    expect(rendered).toContain('path: /rt/readyz');
    expect(rendered).toContain('path: /rt/metrics');
  });
});
