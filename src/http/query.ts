/**
 * Validates a query string and converts integer parameters. TypeBox's own conversion would also accept
 * 1.5, true and the empty string.
 */
import type { FastifySchemaCompiler } from 'fastify';
import type { TObject } from 'typebox';
import { Compile } from 'typebox/compile';

const INTEGER = /^-?\d{1,16}$/;

export const compileQuery: FastifySchemaCompiler<TObject> = ({ schema }) => {
  const integers = Object.entries(schema.properties).flatMap(([name, property]) =>
    'type' in property && property.type === 'integer' ? [name] : [],
  );
  const compiled = Compile(schema);
  return (query: Record<string, unknown>) => {
    for (const name of integers) {
      const text = query[name];
      if (typeof text === 'string' && INTEGER.test(text)) query[name] = Number(text);
    }
    return compiled.Check(query) ? { value: query } : { error: compiled.Errors(query) };
  };
};
