import { Refusal } from '../../errors.js';

/** A command of which `rate` a second are allowed. */
export const tooFast = (what: string, rate: number) =>
  new Refusal('rate_limited', `More than ${rate} ${what} commands in a second.`);
