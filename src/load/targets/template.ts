/**
 * Any WebSocket server that broadcasts or echoes text: what is sent to join, leave and publish
 * comes from templates with the placeholders `{room}` and `{data}`. It neither numbers messages nor
 * confirms anything, so a member counts as joined once the join has been sent.
 */
import type { Stamps } from '../stamp.js';
import type { Wire, WireEvents } from '../wire/wire.js';
import { DialectLink, type Sink } from './target.js';

/** Payloads to send. An absent one is not sent; `publish` must contain `{data}`. */
export interface Templates {
  readonly join?: string;
  readonly leave?: string;
  readonly publish: string;
}

export class TemplateLink extends DialectLink {
  readonly #templates: Templates;

  constructor(
    sink: Sink,
    stamps: Stamps,
    open: (events: WireEvents) => Wire,
    templates: Templates,
  ) {
    super(sink, stamps, open);
    this.#templates = templates;
  }

  override open(): void {
    this.sink.open();
  }

  override payload(buf: Buffer, start: number, end: number): void {
    const at = this.stampIn(buf, start, end);
    if (at >= 0) this.sink.message(buf, at, -1);
  }

  override join(room: string): void {
    if (this.#templates.join !== undefined) this.wire.send(fill(this.#templates.join, room));
    this.sink.joined(room, -1);
  }

  override leave(room: string): boolean {
    if (this.#templates.leave === undefined) return false;
    this.wire.send(fill(this.#templates.leave, room));
    this.sink.left(room);
    return true;
  }

  override publish(room: string, data: Buffer): void {
    this.wire.send(fill(this.#templates.publish, room, data));
  }
}

function fill(template: string, room: string, data?: Buffer): Buffer {
  const text = template.replaceAll('{room}', room);
  return Buffer.from(data ? text.replaceAll('{data}', data.toString('latin1')) : text);
}
