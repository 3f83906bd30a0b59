/** `npm run grafana:build`: writes the generated files for Grafana, Prometheus and the Helm chart. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { files } from './files.js';

const root = join(import.meta.dirname, '../../../..');

for (const [path, text] of Object.entries(files())) {
  const target = join(root, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
  process.stdout.write(`${path}\n`);
}
