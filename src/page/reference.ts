/** The forms on the API reference page: each sends its request to this server and shows the answer. */
import { byId, setText } from './dom.js';
import { authorization, keepKey, storedKey } from './key.js';

/** Maximum length of a shown answer, in characters. */
const SHOWN = 20_000;

const key = byId('key', HTMLInputElement);
const keyState = byId('key-state', HTMLElement);

function showKey(): void {
  if (storedKey() !== null) setText(keyState, 'A key is stored in this tab until you close it.');
}

byId('lock', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  keepKey(key.value.trim());
  key.value = '';
  showKey();
});
showKey();

for (const form of document.querySelectorAll<HTMLFormElement>('.try form')) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void send(form);
  });
}

async function send(form: HTMLFormElement): Promise<void> {
  const { method = 'GET', path = '' } = form.dataset;
  const output = form.querySelector('output') as HTMLOutputElement;
  const fields = Array.from(new FormData(form), ([name, value]) => [name, String(value)] as const);
  const of = (where: string) =>
    fields.flatMap(([name, value]) =>
      name.startsWith(`${where}:`) && value !== '' ? [[name.slice(where.length + 1), value]] : [],
    );
  const filled = of('path').reduce(
    (whole, [name, value]) => whole.replace(`{${name}}`, encodeURIComponent(value as string)),
    path,
  );
  // Relative to this page, so that it also works behind a proxy with a path prefix.
  const url = new URL(filled.slice(1), document.baseURI);
  url.search = new URLSearchParams(of('query') as [string, string][]).toString();
  const body = fields.find(([name]) => name === 'body')?.[1];
  setText(output, 'Waiting …');
  try {
    const response = await fetch(url, {
      method,
      headers: {
        ...authorization(),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    setText(
      output,
      `${response.status} ${response.statusText}\n\n${readable(text).slice(0, SHOWN)}`,
    );
  } catch {
    setText(output, 'The server does not answer.');
  }
}

function readable(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
