/**
 * The options as a JSON Schema (draft 2020-12), for editors: `"$schema"` of a `--config` file may refer
 * to it. The package ships it as `roomcast/config.schema.json`. It checks each option as `check.ts` does.
 * It cannot check options against each other, nor whether a text is a network, an origin or a pattern.
 */
import { type Option, options } from './index.js';
import { perNamespace } from './per-namespace.js';
import { secretFiles } from './secrets.js';

export const CONFIG_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Options of roomcast serve',
  type: 'object',
  properties: {
    $schema: { type: 'string' },
    ...Object.fromEntries(options.map((option) => [option.name, schemaOf(option)])),
    ...Object.fromEntries(
      secretFiles.map(({ name, of }) => [
        name,
        { type: 'string', minLength: 1, description: `File with the value of ${of.name}.` },
      ]),
    ),
  },
  additionalProperties: false,
};

function schemaOf({ name, schema }: Option): object {
  const { group: _, meant: _meant, secret: _secret, zero, allowed, unit, ...own } = schema;
  const { is: _is, zeroWord: _zeroWord, items, ...kind } = own;
  const { is: _ofItem, ...item } = items ?? {};
  const more = [zero && `0 is ${zero}.`, allowed && `${sentence(allowed)}.`].filter(Boolean);
  return {
    ...(name === 'namespaces' ? namespaces() : { ...kind, ...(items && { items: item }) }),
    default: schema.default,
    description: [`${schema.description} (${unit})`, ...more].join(' '),
  };
}

function namespaces(): object {
  const own = options.filter(({ name }) => Object.hasOwn(perNamespace, name));
  const properties = Object.fromEntries(
    own.map((option) => {
      const { default: _default, ...schema } = schemaOf(option) as { default: unknown };
      return [option.name, schema];
    }),
  );
  return {
    type: 'object',
    propertyNames: { pattern: '^[^\\s:]{1,100}$', not: { const: 'default' } },
    additionalProperties: { type: 'object', properties, additionalProperties: false },
  };
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
