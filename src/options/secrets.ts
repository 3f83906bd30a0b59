/**
 * Files that contain the values of secret options, as Docker and Kubernetes mount them: for `apiKey` there
 * are `apiKeyFile`, `--api-key-file` and `ROOMCAST_API_KEY_FILE`. The content of a file is checked as if it
 * had been given directly, and is never shown.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ConfigError } from '../errors.js';
import { show } from './check.js';
import { namesOf, type Option, options, type schema } from './index.js';

type SecretName = {
  [Name in keyof typeof schema]: (typeof schema)[Name] extends { secret: true } ? Name : never;
}[keyof typeof schema];

/** Paths of files; each key is the name of a secret option plus `File`. */
export type SecretFiles = { readonly [Name in SecretName as `${Name}File`]?: string };

/** The option that names the file for a secret option. */
export interface SecretFile {
  readonly name: string;
  readonly flag: string;
  readonly env: string;
  readonly of: Option;
}

export const secretFiles: readonly SecretFile[] = options
  .filter(({ schema }) => schema.secret)
  .map((of) => ({ name: `${of.name}File`, ...namesOf(`${of.name}File`), of }));

export const secretFileNamed = (name: string): SecretFile | undefined =>
  secretFiles.find((each) => each.name === name);

/** Returns the value in the file, or a ConfigError if the file cannot be used. */
export function readSecret(
  { name, of }: SecretFile,
  label: string,
  path: unknown,
  directory: string,
): unknown {
  const allowed = `the path of a file with ${of.allowed}`;
  const refuse = (why: string) =>
    new ConfigError(`${label} ${show(path)} ${why}: give ${allowed}`, {
      code: 'bad_option',
      option: name,
      value: path,
      allowed,
    });
  if (typeof path !== 'string' || path === '') return refuse('is not allowed');
  let text: string;
  try {
    text = readFileSync(resolve(directory, path), 'utf8').trim();
  } catch (error) {
    return refuse(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (text === '') return refuse('is empty');
  // One item per line, or separated by commas as everywhere else.
  return of.schema.type === 'array' ? text.split(/[\n,]/).map((item) => item.trim()) : text;
}
