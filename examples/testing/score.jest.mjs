// jest: ES modules need NODE_OPTIONS=--experimental-vm-modules and no transform.
import { expect, test } from '@jest/globals';
import { shownToSlowReader } from './slow-reader.mjs';

test('a slow reader is shown that something is missing', async () => {
  expect(await shownToSlowReader()).toEqual(['no score yet', '1:0', 'missed 2', '2:2', '3:2']);
});
