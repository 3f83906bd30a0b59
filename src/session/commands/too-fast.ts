import { Refusal } from '../../errors.js';

/** The error for a command beyond `rate` per second. */
export const tooFast = (what: string, rate: number) =>
  new Refusal('rate_limited', `You sent more than ${rate} ${what} commands in a second.`);
