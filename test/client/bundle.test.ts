/** The single-file client: its size, and that shortened property names collide with no others. */
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';

const root = new URL('../../client/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const { INTERNAL, LIMIT } = (await import(new URL('bundle.mjs', root).href)) as {
  INTERNAL: string[];
  LIMIT: number;
};

it('is 6 KiB at most, minified and compressed', () => {
  expect(LIMIT).toBe(6144);
  const size = gzipSync(read('dist/roomcast-client.min.js'), { level: 9 }).length;
  expect(size).toBeLessThanOrEqual(LIMIT);
});

it('needs no Node API, and nothing that React Native lacks', () => {
  const text = read('dist/roomcast-client.min.js');
  const used =
    /(?<![.\w$])(process|Buffer|require|EventTarget|Event|MessageEvent|DOMException|structuredClone)\b/;
  expect(text.replaceAll(/"[^"]*"/g, '""')).not.toMatch(used);
  expect(text).not.toMatch(/AbortSignal\.(any|timeout)/);
});

/** Names of properties that are declared or assigned, but not of types and parameters. */
function propertiesOf(path: string): Set<string> {
  const names = new Set<string>();
  const walk = (node: ts.Node): void => {
    const isNamed =
      ts.isPropertySignature(node) ||
      ts.isMethodSignature(node) ||
      ts.isPropertyDeclaration(node) ||
      ts.isPropertyAssignment(node);
    if (isNamed) names.add(node.name.getText());
    ts.forEachChild(node, walk);
  };
  walk(ts.createSourceFile(path, read(path), ts.ScriptTarget.ES2022, true));
  return names;
}

it('shortens no name that an app, a server or the platform uses', () => {
  const taken = new Set<string>();
  for (const path of ['src/types.ts', 'src/wire.ts', 'src/errors.ts']) {
    for (const name of propertiesOf(path)) taken.add(name);
  }
  expect(taken).toContain('retryAfterMs');
  const platform = [Object, Array, Map, Set, Promise, String, RegExp, Number, Error, Symbol];
  const ofPages = [AbortController, AbortSignal, EventTarget, WeakRef, WebSocket];
  for (const { prototype } of [...platform, ...ofPages] as { prototype: object }[]) {
    for (const name of Object.getOwnPropertyNames(prototype)) taken.add(name);
  }
  for (const each of [globalThis, Object, Array, Promise, JSON, Math, Number, Symbol]) {
    for (const name of Object.getOwnPropertyNames(each)) taken.add(name);
  }
  expect(INTERNAL.filter((name) => taken.has(name))).toEqual([]);
  expect(new Set(INTERNAL).size).toBe(INTERNAL.length);
});

it('shortens all internal names and no public ones', () => {
  const text = read('dist/roomcast-client.min.js');
  for (const name of INTERNAL) expect(text).not.toMatch(new RegExp(`[.,{]${name}\\b(?!:"|")`));
  for (const name of ['position', 'publish', 'retryAfterMs', 'features']) {
    expect(text).toContain(name);
  }
});
