/**
 * Parses YAML written by hand, by the core schema of YAML 1.2, and records the positions of all keys and
 * values. An error never quotes the text, which may contain a key.
 *
 * The library is loaded only if a file is YAML.
 */
import { createRequire } from 'node:module';
import type { Path } from './check.js';
import { type Document, FileError, Places, placeIn } from './document.js';

const require = createRequire(import.meta.url);

/** @throws FileError */
export function parseYaml(text: string): Document {
  const { isMap, isNode, isScalar, isSeq, parseDocument } =
    require('yaml') as typeof import('yaml');
  const document = parseDocument(text, { prettyErrors: false });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const what = fault.code === 'DUPLICATE_KEY' ? 'has the same key twice' : 'is not valid YAML';
    throw new FileError(`${what} ${placeIn(text, fault.pos[0])}`);
  }
  const places = new Places(text);
  const walk = (node: unknown, path: Path): void => {
    if (!isNode(node)) return;
    if (node.range) places.value(path, node.range[0]);
    if (isSeq(node)) for (const [at, item] of node.items.entries()) walk(item, [...path, at]);
    if (!isMap(node)) return;
    for (const { key, value } of node.items) {
      if (!isScalar(key)) continue;
      const below = [...path, String(key.value)];
      if (key.range) places.key(below, key.range[0]);
      walk(value, below);
    }
  };
  walk(document.contents, []);
  try {
    return { value: document.toJS({ maxAliasCount: 100 }), places };
  } catch {
    throw new FileError('has an alias without a target, or one that expands too much');
  }
}
