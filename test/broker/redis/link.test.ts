/** Cost of creating a connection. */
import { expect, it } from 'vitest';
import { connection } from '../../../src/broker/redis/link.js';

it('uses one class for every address, since building a class blocks the loop', () => {
  const classOf = (port: number) => {
    const client = connection({ url: `redis://127.0.0.1:${port}` }, 1000);
    return Object.getPrototypeOf(Object.getPrototypeOf(client)) as unknown;
  };
  const [first, other, again] = [1, 2, 1].map(classOf);
  expect(other === first && again === first).toBe(true);
});
