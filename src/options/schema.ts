/**
 * The notation of options: the kinds of values, and the texts that the help and the errors show for
 * each. Not here: the options themselves, which are in their owners' files in this folder.
 */
/** Properties of an option other than its type and range. */
export interface Meta {
  /** Heading in the help. */
  readonly group: string;
  readonly description: string;
  /** Name of a value in the help: its unit, if it has one. */
  readonly unit: string;
  /** Meaning of 0, if 0 is not a quantity. */
  readonly zero?: string;
  /** Word accepted for 0 in a flag or a variable. */
  readonly zeroWord?: string;
  /** The allowed values in words, if the schema alone would not be readable. */
  readonly allowed?: string;
  /** Suggests a correction for a text that is not allowed. */
  readonly meant?: (text: string) => string | null;
}

export const DAY = 86_400_000;
export const GIB = 2 ** 30;

/** The subset of JSON Schema for options; editors read it too (`json-schema.ts`). */
interface Kind {
  readonly type?: 'integer' | 'boolean' | 'string' | 'array' | 'object';
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly maxItems?: number;
  readonly items?: Kind;
  /** A check that JSON Schema cannot express. */
  readonly is?: (text: string) => boolean;
}

/** The schema of an option whose values are of this type. */
export interface Schema<Value = unknown> extends Meta, Kind {
  readonly default: Value;
  /** Never shown, neither in the help nor in an error. */
  readonly secret?: true;
}

/**
 * Whether a value matches the schema. Our own validator: a library would add 680 modules, four fifths of
 * all, to every import of roomcast. A test checks that a library agrees.
 */
export function fits(kind: Kind, value: unknown): boolean {
  if (kind.enum !== undefined) return kind.enum.some((word) => word === value);
  switch (kind.type) {
    case 'integer':
      return Number.isInteger(value) && isWithin(Number(value), kind.minimum, kind.maximum);
    case 'boolean':
      return typeof value === 'boolean';
    case 'string':
      return typeof value === 'string' && textFits(kind, value);
    case 'array':
      return Array.isArray(value) && arrayFits(kind, value);
    default:
      return typeof value === 'object' && value !== null && !Array.isArray(value);
  }
}

const isWithin = (value: number, least = Number.NEGATIVE_INFINITY, most = Infinity): boolean =>
  value >= least && value <= most;

function textFits({ minLength, maxLength, pattern, is }: Kind, text: string): boolean {
  return (
    // Counts Unicode characters, not UTF-16 code units.
    isWithin([...text].length, minLength, maxLength) &&
    (pattern === undefined || new RegExp(pattern, 'u').test(text)) &&
    (is === undefined || is(text))
  );
}

function arrayFits({ items = {}, maxItems }: Kind, list: readonly unknown[]): boolean {
  return isWithin(list.length, 0, maxItems) && list.every((item) => fits(items, item));
}

/** `[default, minimum, maximum]`, all in the unit of the option. */
export function integer([value, minimum, maximum]: [number, number, number], meta: Meta) {
  return { type: 'integer', default: value, minimum, maximum, ...meta } as Schema<number>;
}

export function bool(value: boolean, meta: Meta) {
  return { type: 'boolean', default: value, ...meta } as Schema<boolean>;
}

export function choice<Word extends string>(value: Word, words: readonly Word[], meta: Meta) {
  return { enum: [...words], default: value, ...meta } as Schema<Word>;
}

type TextOptions = Pick<Kind, 'minLength' | 'pattern' | 'maxLength' | 'is'>;

/** `minLength` defaults to 1. */
export function text(value: string, options: TextOptions, meta: Meta) {
  const schema = { type: 'string', default: value, minLength: 1, ...options, ...meta };
  return schema as Schema<string>;
}

/** An address or a host name. */
export function address(value: string, meta: Omit<Meta, 'unit' | 'allowed'>) {
  const words = { unit: 'address', allowed: 'an address or a host name' };
  return text(value, { pattern: '^[^\\s]+$', maxLength: 255 }, { ...meta, ...words });
}

/** Default: empty. In a flag or a variable, commas separate the items. */
export function list(item: TextOptions, meta: Meta, maxItems = 1000) {
  const items: Kind = { type: 'string', minLength: 1, ...item };
  const schema = { type: 'array', items, default: [], maxItems, ...meta };
  return schema as Schema<readonly string[]>;
}

/** Default: empty. `check.ts` checks the values. */
export function map<Value>(meta: Meta) {
  return { type: 'object', default: {}, ...meta } as Schema<Readonly<Record<string, Value>>>;
}

/** Marks an option as never shown; it can also be read from a file (`secrets.ts`). */
export function secret<Of extends Schema>(of: Of): Of & { readonly secret: true } {
  return Object.assign(of, { secret: true } as const);
}

/** The value types of a set of options. */
export type Values<Schemas> = {
  readonly [Name in keyof Schemas]: Schemas[Name] extends Schema<infer Value> ? Value : never;
};
