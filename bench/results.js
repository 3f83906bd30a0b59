import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * RESULTS.md, which has a part per measuring command, and results/, which keeps the last run of each,
 * recorded or not. A command replaces its own part only.
 */

const TOP = `# Results

Written by the commands named below, with \`--record\`. README.md says how to read this and how not to.
`;

/** Parts in order; `chaos` is pasted by hand, from its `--report`. @type {Record<string, string>} */
const NOT_YET = {
  bench: '## Fan-out beside others\n\n`npm run bench -- --record` has not been run yet.\n',
  again: '',
  isolation: '## Isolation\n\n`npm run isolation -- --record` has not been run yet.\n',
  agreement: '## Two meters\n\n`npm run agreement -- --record` has not been run yet.\n',
  chaos: '## Chaos\n\n`npm run chaos -- --minutes 60`, in the root, has not been run yet.\n',
};

const results = new URL('results/', import.meta.url);
const page = new URL('RESULTS.md', import.meta.url);

/**
 * @param {'bench' | 'again' | 'isolation' | 'agreement'} command `again`: scenarios of `bench` measured since its last whole run
 * @param {object} run
 * @param {string} markdown of the run
 * @param {boolean} isRecord
 */
export function keep(command, run, markdown, isRecord) {
  mkdirSync(results, { recursive: true });
  writeFileSync(new URL(`${command}.json`, results), JSON.stringify(run, null, 1));
  writeFileSync(new URL(`${command}.md`, results), markdown);
  if (!isRecord) return;
  const before = existsSync(page) ? readFileSync(page, 'utf8') : '';
  writeFileSync(page, withPart(before, command, markdown));
}

/**
 * @param {'bench'} command
 * @returns {import('./report.js').Run} its last run, complete or not
 */
export const kept = (command) =>
  JSON.parse(readFileSync(new URL(`${command}.json`, results), 'utf8'));

/**
 * @param {string} before
 * @param {string} command
 * @param {string} markdown
 * @returns {string} `before` with the command's part replaced; a whole run of `bench` also clears the
 *   part `again`
 */
export function withPart(before, command, markdown) {
  const parts = Object.entries(NOT_YET).map(([name, notYet]) => {
    const [begin, end] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->\n`];
    const from = before.indexOf(begin);
    const to = before.indexOf(end);
    const last = from < 0 || to < 0 ? notYet : before.slice(from + begin.length, to);
    const kept = command === 'bench' && name === 'again' ? notYet : last;
    return `${begin}${name === command ? markdown : kept}${end}`;
  });
  return [TOP, ...parts].join('\n');
}
