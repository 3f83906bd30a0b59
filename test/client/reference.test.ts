/**
 * Generates `client/API.md` from the types and their comments. Run this file with `vitest --update=all`
 * to write it.
 */
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { expect, it } from 'vitest';

const src = new URL('../../client/src/', import.meta.url);

/** The exported declarations of a file with their comments, without bodies. */
function declarationsOf(path: string, names?: readonly string[]): string[] {
  const text = readFileSync(new URL(path, src), 'utf8');
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  const commentOf = (node: ts.Node) =>
    (ts.getLeadingCommentRanges(text, node.pos) ?? [])
      .filter(({ pos }) => text.startsWith('/**', pos))
      .slice(-1)
      .map(({ pos, end }) => `${text.slice(pos, end)}\n`)
      .join('');
  return source.statements.flatMap((node) => {
    const isExported =
      ts.canHaveModifiers(node) &&
      ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
    if (!isExported) return [];
    const shown = node.getText(source);
    if (ts.isVariableStatement(node)) {
      const [{ name, type } = {}] = node.declarationList.declarations;
      return names?.includes(String(name?.getText(source)))
        ? [`${commentOf(node)}export const ${name?.getText(source)}: ${type?.getText(source)};`]
        : [];
    }
    const named = node as ts.DeclarationStatement;
    if (names && !names.includes(String(named.name?.getText(source)))) return [];
    if (ts.isFunctionDeclaration(node) && node.body) {
      return [`${commentOf(node)}${text.slice(node.getStart(source), node.body.pos).trim()};`];
    }
    if (ts.isClassDeclaration(node)) {
      const members = node.members
        .filter((member) => !ts.isConstructorDeclaration(member))
        .map((member) => `  ${commentOf(member).trim()}\n  ${member.getText(source)}`.trimEnd());
      const head = text.slice(node.getStart(source), node.members.pos).trim();
      const body = members.join('\n').replaceAll(/declare |^\s*\n/gm, '');
      return [`${commentOf(node)}${head}\n${body}\n}`.replace('{\n\n}', '{}')];
    }
    return [`${commentOf(node)}${shown}`];
  });
}

const section = (title: string, ...declarations: string[]) =>
  `## ${title}\n\n${declarations.map((each) => `\`\`\`ts\n${each}\n\`\`\`\n`).join('\n')}`;

it('is up to date with the types', async () => {
  const wire = /export type \{([^}]+)\} from '.\/wire.js'/.exec(
    readFileSync(new URL('index.ts', src), 'utf8'),
  );
  const ofWire = String(wire?.[1])
    .split(',')
    .map((name) => name.trim());
  expect(ofWire).toContain('Position');
  const text = [
    '# The API of roomcast-client\n\nGenerated from the types. The README explains how to use it.\n',
    section('roomcast-client', ...declarationsOf('index.ts'), ...declarationsOf('types.ts')),
    section(
      'Errors',
      ...declarationsOf('errors.ts', [
        'ClientErrorCode',
        'ErrorCode',
        'RoomcastError',
        'Unauthorised',
      ]),
    ),
    section('Types of the server', ...declarationsOf('wire.ts', ofWire)),
    section('roomcast-client/backfill', ...declarationsOf('backfill.ts', ['healing'])),
    section('roomcast-client/events', ...declarationsOf('events.ts')),
    section('roomcast-client/presence', ...declarationsOf('presence.ts')),
    section('roomcast-client/sockjs', ...declarationsOf('sockjs.ts')),
  ].join('\n');
  await expect(text).toMatchFileSnapshot('../../client/API.md');
});
