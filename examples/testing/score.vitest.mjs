// With vitest: npx vitest run, with '**/*.vitest.mjs' in its `include`.
import { expect, test } from 'vitest';
import { shownToSlowReader } from './slow-reader.mjs';

test('a slow reader is shown that something is missing', async () => {
  expect(await shownToSlowReader()).toEqual(['no score yet', '1:0', 'missed 2', '2:2', '3:2']);
});
