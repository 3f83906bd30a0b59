/**
 * Generates the API reference page from the OpenAPI document when the package is built: the parameters
 * and answers of each request, and a form to try it (`reference.ts`).
 */

/** Escapes text for HTML; text between backticks becomes code. */
const text = (value) =>
  String(value)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('"', '&quot;')
    .replaceAll(/`([^`]*)`/g, '<code>$1</code>');

const range = (from, to) =>
  from === undefined && to === undefined ? '' : [from ?? '', to ?? ''].join(' to ').trim();

/** Describes the type and limits of a value in words. */
function kindOf({ enum: values, type, anyOf, items, ...schema }) {
  if (values) return values.map((value) => `\`${value}\``).join(', ');
  if (anyOf) return anyOf.map(kindOf).join(' or ');
  if (type === 'array') {
    const count = range(schema.minItems, schema.maxItems);
    return ['list', count && `of ${count}`].filter(Boolean).join(' ');
  }
  const limits =
    type === 'string'
      ? range(schema.minLength, schema.maxLength) &&
        `${range(schema.minLength, schema.maxLength)} characters`
      : range(schema.minimum, schema.maximum);
  const standard = schema.default === undefined ? '' : `default ${schema.default}`;
  return [type ?? 'any', limits, standard].filter(Boolean).join(', ');
}

/** Lists the fields of an object, including nested ones: `queued.bytes`, `members[].id`. */
function fieldsOf(schema, path = '') {
  if (schema.anyOf) return schema.anyOf.flatMap((each) => fieldsOf(each, path));
  if (schema.type === 'array') return fieldsOf(schema.items, `${path}[]`);
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const own = path === '' ? name : `${path}.${name}`;
    const isNeeded = schema.required?.includes(name) ?? false;
    return [{ name: own, schema: property, isNeeded }, ...fieldsOf(property, own)];
  });
}

const table = (caption, heads, rows) =>
  rows.length === 0
    ? ''
    : `<table>
<caption>${text(caption)}</caption>
<thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead>
<tbody>
${rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('\n')}
</tbody></table>
`;

const fieldRows = (fields) =>
  fields.map(({ name, schema, isNeeded }) => [
    `<code>${text(name)}</code>${isNeeded ? '' : ' <small>optional</small>'}`,
    text(kindOf(schema)),
    text(schema.description ?? ''),
  ]);

const bodyOf = ({ requestBody }) => requestBody?.content['application/json'].schema;

/** An example body with the required fields. */
function example({ properties = {}, required = [], items, type, examples, description }) {
  if (examples) return examples[0];
  if (type === 'array') return [example(items)];
  if (type === 'object' || required.length > 0) {
    return Object.fromEntries(required.map((name) => [name, example(properties[name])]));
  }
  return type === 'string' ? 'chat:lobby' : (description ?? null);
}

function tryForm(method, path, operation) {
  const fields = (operation.parameters ?? []).map(
    ({ name, in: where, required }) =>
      `<p class="field"><label for="${operation.operationId}-${name}">${name}</label>
<input id="${operation.operationId}-${name}" name="${where}:${name}" autocomplete="off" spellcheck="false"${required ? ' required' : ''}></p>`,
  );
  const body = bodyOf(operation);
  if (body) {
    const id = `${operation.operationId}-body`;
    fields.push(`<p class="field"><label for="${id}">body</label>
<textarea id="${id}" name="body" rows="5" spellcheck="false">${text(JSON.stringify(example(body), null, 2))}</textarea></p>`);
  }
  return `<details class="try"><summary>Try it</summary>
<form data-method="${method.toUpperCase()}" data-path="${text(path)}">
${fields.join('\n')}
<button type="submit">Send</button>
<output aria-live="polite"></output>
</form></details>
`;
}

function operation(method, path, each) {
  const parameters = (each.parameters ?? []).map(
    ({ name, in: where, required, schema, description }) => ({
      name,
      isNeeded: required,
      schema: { ...schema, description: description ?? schema.title ?? `In the ${where}.` },
    }),
  );
  const body = bodyOf(each);
  const answered = Object.values(each.responses['200']?.content ?? {})[0]?.schema ?? {};
  const heads = ['Name', 'Kind', 'Meaning'];
  const statuses = Object.entries(each.responses).map(([status, { description }]) => [
    status,
    // One line per code.
    text(description).replaceAll(/ (?=<code>)/g, '<br>'),
  ]);
  const isStream = each.responses['200']?.content?.['text/event-stream'] !== undefined;
  return `<section id="${each.operationId}" aria-labelledby="${each.operationId}-title">
<h3 id="${each.operationId}-title"><span class="method">${method.toUpperCase()}</span> <code>${text(path)}</code></h3>
<p>${text(each.summary)}.${each.description ? ` ${text(each.description)}` : ''}</p>
${table('Parameters', heads, fieldRows(parameters))}${table('Body, as JSON', heads, fieldRows(body ? fieldsOf(body) : []))}${table('Answer', heads, fieldRows(fieldsOf(answered)))}<details><summary>Statuses and codes</summary>
${table('Statuses', ['Status', 'When'], statuses)}</details>
${isStream ? '' : tryForm(method, path, each)}</section>
`;
}

/** The content of `<main>`. */
export function reference({ info, tags, paths }) {
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, each]) => ({ method, path, each })),
  );
  const of = (tag) => all.filter(({ each }) => each.tags.includes(tag));
  return `<h1>HTTP API</h1>
<p>${text(info.description)} The limits shown are the defaults; <a href="v1/openapi.json">the
OpenAPI document</a> has those of this server.</p>
<form id="lock">
<label for="key">API key</label>
<input id="key" type="password" autocomplete="off">
<button type="submit">Use</button>
<p id="key-state" role="status">For the forms below, until you close this tab.</p>
</form>
<nav aria-label="Requests"><ul>
${all.map(({ method, path, each }) => `<li><a href="#${each.operationId}"><span class="method">${method.toUpperCase()}</span> <code>${text(path)}</code></a> ${text(each.summary)}</li>`).join('\n')}
</ul></nav>
${tags
  .map(
    ({
      name,
      description,
    }) => `<h2 id="${name}">${name.charAt(0).toUpperCase()}${name.slice(1)}</h2>
<p>${text(description)}</p>
${of(name)
  .map(({ method, path, each }) => operation(method, path, each))
  .join('')}`,
  )
  .join('')}`;
}
