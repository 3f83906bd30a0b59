/** Analyses PromQL with the parser of Prometheus' own editor. */
import { parser } from '@prometheus-io/lezer-promql';

type SyntaxNode = ReturnType<typeof parser.parse>['topNode'];

export interface Selector {
  readonly metric: string;
  /** Label, operator and value, such as `job=~"$job"`. */
  readonly matchers: readonly string[];
  /** The range, such as `5m`; undefined for an instant selector. */
  readonly range: string | undefined;
  /** The function it is a direct argument of. */
  readonly function: string | undefined;
}

/** Position and text of a syntax error, if any. */
export function syntaxError(expr: string): string | undefined {
  let found: string | undefined;
  parser.parse(expr).iterate({
    enter(node) {
      if (node.type.isError) found ??= `at ${node.from}: ${expr.slice(node.from, node.from + 30)}`;
    },
  });
  return found;
}

export function selectors(expr: string): Selector[] {
  const all: Selector[] = [];
  const text = (node: SyntaxNode) => expr.slice(node.from, node.to);
  parser.parse(expr).iterate({
    enter({ name, node }) {
      if (name !== 'VectorSelector') return;
      const identifier = node.getChild('Identifier');
      const matchers: string[] = [];
      node.cursor().iterate((inner) => {
        if (inner.name === 'UnquotedLabelMatcher') {
          matchers.push(text(inner.node).replaceAll(/\s/g, ''));
        }
      });
      const isRange = node.parent?.name === 'MatrixSelector';
      const whole = isRange ? (node.parent as SyntaxNode) : node;
      let call: SyntaxNode | null = whole.parent;
      while (call !== null && call.name === 'FunctionCallBody') call = call.parent;
      const called = call?.name === 'FunctionCall' ? call.getChild('FunctionIdentifier') : null;
      all.push({
        metric: identifier ? text(identifier) : '',
        matchers,
        range: isRange ? /\[(.+)\]$/.exec(text(whole))?.[1] : undefined,
        function: called ? text(called) : undefined,
      });
    },
  });
  return all;
}
