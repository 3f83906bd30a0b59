import { parseArgs } from 'node:util';

/**
 * Parses the options of the commands in this folder. An invalid option ends the command with one line
 * and exit code 2, before anything is started.
 */

/**
 * Parses the options; with `--help`, prints the help and exits.
 *
 * @template {import('node:util').ParseArgsConfig} T
 * @param {string} help
 * @param {T} config of the options but `--help`
 * @returns {ReturnType<typeof parseArgs<T>>}
 */
export function parse(help, config) {
  const options = { ...config.options, help: { type: /** @type {const} */ ('boolean') } };
  try {
    const parsed = parseArgs({ ...config, options });
    const { help: isAsked } = /** @type {{ help?: boolean }} */ (parsed.values);
    if (!isAsked) return /** @type {ReturnType<typeof parseArgs<T>>} */ (parsed);
  } catch (error) {
    return refuse(/** @type {Error} */ (error).message);
  }
  process.stdout.write(help);
  process.exit();
}

/** @param {string} message @returns {never} */
export function refuse(message) {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(2);
}

/**
 * @param {string} option
 * @param {string} text
 * @param {number} max
 * @param {string} [why] reason for the maximum
 * @returns {number}
 */
export function wholeNumber(option, text, max, why) {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= 1 && number <= max) return number;
  const reason = why !== undefined && number > max ? `; ${why}` : '';
  return refuse(
    `${option} is ${JSON.stringify(text)}: expected a whole number from 1 to ${max}${reason}`,
  );
}

/**
 * The items of a comma-separated list.
 * Parses a comma-separated list.
 * @param {string} option
 * @param {string | undefined} text
 * @param {readonly string[]} known
 * @returns {string[] | undefined} undefined without the option
 */
export function someOf(option, text, known) {
  const items = text?.split(',');
  const unknown = items?.find((item) => !known.includes(item));
  if (unknown === undefined) return items;
  return refuse(`${option} has ${JSON.stringify(unknown)}: expected some of ${known.join(', ')}`);
}
