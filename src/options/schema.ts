/**
 * How an option is written down: the kinds of values there are, and what the help and an error say of
 * each. Not here: the options themselves, which stand in a file of their owner beside this one.
 */
import { type TSchema, Type } from 'typebox';

/** What stands beside the values that an option may have. */
export interface Meta {
  /** Its heading in the help. */
  readonly group: string;
  readonly description: string;
  /** What a value is called in the help, its unit where it has one. */
  readonly unit: string;
  /** What 0 means where it is not a quantity. */
  readonly zero?: string;
  /** What is allowed, in words, where the schema does not say it readably. */
  readonly allowed?: string;
  /** What was probably meant by a text that is not allowed. */
  readonly meant?: (text: string) => string | null;
}

export const DAY = 86_400_000;
export const GIB = 2 ** 30;

/**
 * The schema of an option whose values are of this type. TypeBox has no part in the type: who uses
 * ours would have to check all of its own: four times the work with `skipLibCheck: false`.
 */
export interface Schema<Value = unknown> extends Meta {
  readonly default: Value;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly items?: object;
  readonly minimum?: number;
  readonly maximum?: number;
  /** Never shown: neither in the help, nor in an error. */
  readonly secret?: true;
}

/** `of` was made with this default and this meta; what TypeBox returns does not say so. */
const schemaOf = <Value>(of: TSchema) => of as Schema<Value>;

/** `[default, minimum, maximum]`, all in the option's unit. */
export function integer([value, minimum, maximum]: [number, number, number], meta: Meta) {
  return schemaOf<number>(Type.Integer({ default: value, minimum, maximum, ...meta }));
}

export function bool(value: boolean, meta: Meta) {
  return schemaOf<boolean>(Type.Boolean({ default: value, ...meta }));
}

export function choice<Word extends string>(value: Word, words: readonly Word[], meta: Meta) {
  return schemaOf<Word>(Type.Enum([...words], { default: value, ...meta }));
}

interface TextOptions {
  /** 1, unless it is said. */
  readonly minLength?: number;
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly is?: (text: string) => boolean;
}

function string({ is, ...options }: TextOptions & { readonly default?: string }) {
  return is === undefined ? Type.String(options) : Type.Refine(Type.String(options), is);
}

export function text(value: string, options: TextOptions, meta: Meta) {
  return schemaOf<string>(string({ default: value, minLength: 1, ...options, ...meta }));
}

/** An address or a host name. */
export function address(value: string, meta: Omit<Meta, 'unit' | 'allowed'>) {
  const words = { unit: 'address', allowed: 'an address or a host name' };
  return text(value, { pattern: '^[^\\s]+$', maxLength: 255 }, { ...meta, ...words });
}

/** Empty by default; in a flag or a variable its items are separated by commas. */
export function list(item: TextOptions, meta: Meta) {
  return schemaOf<readonly string[]>(
    Type.Array(string(item), { default: [], maxItems: 1000, ...meta }),
  );
}

/** Empty by default; what stands under a name is checked by `check.ts`. */
export function map<Value>(meta: Meta) {
  return schemaOf<Readonly<Record<string, Value>>>(
    Type.Record(Type.String(), Type.Object({}), { default: {}, ...meta }),
  );
}

/** An option that is never shown, and that may also be read from a file (`secrets.ts`). */
export function secret<Of extends Schema>(of: Of): Of & { readonly secret: true } {
  return Object.assign(of, { secret: true } as const);
}

/** The values that options may have. */
export type Values<Schemas> = {
  readonly [Name in keyof Schemas]: Schemas[Name] extends Schema<infer Value> ? Value : never;
};
