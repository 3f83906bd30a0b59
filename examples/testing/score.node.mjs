// node:test: run `node --test score.node.mjs`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shownToSlowReader } from './slow-reader.mjs';

test('a slow reader is shown that something is missing', async () => {
  const shown = await shownToSlowReader();
  assert.deepEqual(shown, ['no score yet', '1:0', 'missed 2', '2:2', '3:2']);
});
