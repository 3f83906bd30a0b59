/**
 * A `ws` connection that does not close by itself. Errors that `ws` finds, the peer's close frame and a
 * pong flood are reported to the transport, which decides what the peer is told.
 *
 * Not here: sending (`websocket.ts`), unhandled input (`intake.ts`).
 */
import { WebSocket } from 'ws';
import { survive } from '../survived.js';
import type { Fault } from './transport.js';

/** Fault for each error code of `ws`; any other is a bad frame. */
const FAULTS: ReadonlyMap<string | undefined, Fault> = new Map([
  ['WS_ERR_INVALID_UTF8', 'bad_utf8'],
  ['WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH', 'frame_too_big'],
  ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'message_too_big'],
  ['WS_ERR_TOO_MANY_BUFFERED_PARTS', 'message_too_big'],
]);

/** Fault for an error code of `ws`. */
const faultOf = (code: string | undefined): Fault => FAULTS.get(code) ?? 'bad_frame';

/** Receives what comes from the peer. */
export interface Owner {
  message(data: Buffer, isBinary: boolean): void;
  /** `payload` has one character per byte. */
  pong(payload: string): void;
  /** The peer has sent a close frame. */
  left(): void;
  fault(reason: Fault): void;
  /** `code` is that of the peer's close frame. */
  closed(code: number): void;
}

export class ServerWebSocket extends WebSocket {
  #owner: Owner | null = null;

  /** Listeners are shared functions: closures per connection would be a tenth of its memory. */
  tell(owner: Owner): void {
    this.#owner = owner;
    this.on('message', onMessage).on('pong', onPong).on('close', onClose).on('error', onError);
  }

  get owner(): Owner | null {
    return this.#owner;
  }

  /**
   * Only called by `ws`. With a code and no reason it reports a fault, which an `error` event follows;
   * otherwise it answers the peer's close frame with the same content.
   */
  override close(code?: number, reason?: string | Buffer): void {
    const isFault = code !== undefined && reason === undefined;
    if (isFault && this.readyState === WebSocket.OPEN) return;
    if (!isFault) onLeave(this);
    super.close(code, reason);
  }

  /** Sends a close frame of the server. */
  closeFor(code: number, text: string): void {
    super.close(code, text);
  }

  /** `ws` calls this for a peer that pings and does not read the pongs. */
  override terminate(): void {
    onFault(this, 'control_overflow');
  }
}

function onLeave(ws: WebSocket): void {
  surviving(() => ownerOf(ws)?.left());
}

function onFault(ws: WebSocket, reason: Fault): void {
  surviving(() => ownerOf(ws)?.fault(reason));
}

function onMessage(this: WebSocket, data: unknown, isBinary: boolean): void {
  try {
    ownerOf(this)?.message(data as Buffer, isBinary);
  } catch (error) {
    survive(error);
  }
}

function onPong(this: WebSocket, payload: Buffer): void {
  try {
    ownerOf(this)?.pong(payload.toString('latin1'));
  } catch (error) {
    survive(error);
  }
}

function onClose(this: WebSocket, code: number): void {
  surviving(() => ownerOf(this)?.closed(code));
}

function onError(this: WebSocket, error: { readonly code?: string }): void {
  onFault(this, faultOf(error.code));
}

/** For events that come once; those of each message make no closure. */
function surviving(tell: () => void): void {
  try {
    tell();
  } catch (error) {
    survive(error);
  }
}

const ownerOf = (ws: WebSocket) => (ws as ServerWebSocket).owner;
