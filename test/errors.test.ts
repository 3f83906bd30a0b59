import { expect, it } from 'vitest';
import { Refusal } from '../src/errors.js';

it('a refusal is an Error that was made without walking the stack; others keep theirs', () => {
  const refusal = new Refusal('bad_json', 'The frame is not JSON.');
  expect(refusal).toBeInstanceOf(Error);
  expect(refusal.stack).not.toContain('\n');
  expect(String(refusal)).toBe('Refusal: The frame is not JSON.');
  expect(new Error('a mistake').stack).toContain('\n');
});
