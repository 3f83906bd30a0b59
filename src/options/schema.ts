/**
 * How an option is written down: the kinds of values there are, and what the help and an error say of
 * each. Not here: the options themselves, which stand in a file of their owner beside this one.
 */
/** What stands beside the values that an option may have. */
export interface Meta {
  /** Its heading in the help. */
  readonly group: string;
  readonly description: string;
  /** What a value is called in the help, its unit where it has one. */
  readonly unit: string;
  /** What 0 means where it is not a quantity. */
  readonly zero?: string;
  /** What may stand for 0 in a flag or a variable. */
  readonly zeroWord?: string;
  /** What is allowed, in words, where the schema does not say it readably. */
  readonly allowed?: string;
  /** What was probably meant by a text that is not allowed. */
  readonly meant?: (text: string) => string | null;
}

export const DAY = 86_400_000;
export const GIB = 2 ** 30;

/** The part of JSON Schema that options are written in. Also read by editors (`json-schema.ts`). */
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
  /** What no schema can say of a text. */
  readonly is?: (text: string) => boolean;
}

/** The schema of an option whose values are of this type. */
export interface Schema<Value = unknown> extends Meta, Kind {
  readonly default: Value;
  /** Never shown: neither in the help, nor in an error. */
  readonly secret?: true;
}

/**
 * Whether a value is as the schema says. Our own, because whoever imports roomcast would load 680 modules
 * of a library for it, four fifths of all; that both say the same is held by a test.
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
    // Characters, not halves of them.
    isWithin([...text].length, minLength, maxLength) &&
    (pattern === undefined || new RegExp(pattern, 'u').test(text)) &&
    (is === undefined || is(text))
  );
}

function arrayFits({ items = {}, maxItems }: Kind, list: readonly unknown[]): boolean {
  return isWithin(list.length, 0, maxItems) && list.every((item) => fits(items, item));
}

/** `[default, minimum, maximum]`, all in the option's unit. */
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

/** `minLength` is 1, unless it is said. */
export function text(value: string, options: TextOptions, meta: Meta) {
  const schema = { type: 'string', default: value, minLength: 1, ...options, ...meta };
  return schema as Schema<string>;
}

/** An address or a host name. */
export function address(value: string, meta: Omit<Meta, 'unit' | 'allowed'>) {
  const words = { unit: 'address', allowed: 'an address or a host name' };
  return text(value, { pattern: '^[^\\s]+$', maxLength: 255 }, { ...meta, ...words });
}

/** Empty by default; in a flag or a variable its items are separated by commas. */
export function list(item: TextOptions, meta: Meta, maxItems = 1000) {
  const items: Kind = { type: 'string', minLength: 1, ...item };
  const schema = { type: 'array', items, default: [], maxItems, ...meta };
  return schema as Schema<readonly string[]>;
}

/** Empty by default; what stands under a name is checked by `check.ts`. */
export function map<Value>(meta: Meta) {
  return { type: 'object', default: {}, ...meta } as Schema<Readonly<Record<string, Value>>>;
}

/** An option that is never shown, and that may also be read from a file (`secrets.ts`). */
export function secret<Of extends Schema>(of: Of): Of & { readonly secret: true } {
  return Object.assign(of, { secret: true } as const);
}

/** The values that options may have. */
export type Values<Schemas> = {
  readonly [Name in keyof Schemas]: Schemas[Name] extends Schema<infer Value> ? Value : never;
};
