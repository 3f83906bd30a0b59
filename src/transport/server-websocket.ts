/**
 * A connection of `ws` that closes nothing by itself: what `ws` finds wrong with a peer, and that
 * the peer leaves or floods it, is told to the transport, which decides what the peer is told.
 *
 * Not here: what is sent and when (`websocket.ts`), what is read and not handled yet (`intake.ts`).
 */
import { WebSocket } from 'ws';
import { survive } from '../survived.js';
import type { Fault } from './transport.js';

/** What each error of `ws` is to us; any other is a bad frame. */
const FAULTS: ReadonlyMap<string | undefined, Fault> = new Map([
  ['WS_ERR_INVALID_UTF8', 'bad_utf8'],
  ['WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH', 'frame_too_big'],
  ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'message_too_big'],
  ['WS_ERR_TOO_MANY_BUFFERED_PARTS', 'message_too_big'],
]);

/** What is wrong with a peer for which `ws` has this error. */
const faultOf = (code: string | undefined): Fault => FAULTS.get(code) ?? 'bad_frame';

/** Who is told what comes from the peer. */
export interface Owner {
  message(data: Buffer, isBinary: boolean): void;
  /** `payload`: a character a byte. */
  pong(payload: string): void;
  /** The peer has sent a close frame. */
  left(): void;
  fault(reason: Fault): void;
  /** `code`: of the peer's close frame. */
  closed(code: number): void;
}

export class ServerWebSocket extends WebSocket {
  #owner: Owner | null = null;

  /** Listeners are of all connections together: those of one each would be a tenth of what it holds. */
  tell(owner: Owner): void {
    this.#owner = owner;
    this.on('message', onMessage).on('pong', onPong).on('close', onClose).on('error', onError);
  }

  get owner(): Owner | null {
    return this.#owner;
  }

  /**
   * Called by `ws` alone: with a code and no reason for a fault, of which an `error` event tells
   * next, otherwise to answer the close frame of the peer with what is in it.
   */
  override close(code?: number, reason?: string | Buffer): void {
    const isFault = code !== undefined && reason === undefined;
    if (isFault && this.readyState === WebSocket.OPEN) return;
    if (!isFault) this.#owner?.left();
    super.close(code, reason);
  }

  /** Sends a close frame of ours. */
  closeFor(code: number, text: string): void {
    super.close(code, text);
  }

  /** What `ws` does to a peer that pings and does not read the pongs. */
  override terminate(): void {
    this.#owner?.fault('control_overflow');
  }
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
  try {
    ownerOf(this)?.closed(code);
  } catch (error) {
    survive(error);
  }
}

function onError(this: WebSocket, error: { readonly code?: string }): void {
  ownerOf(this)?.fault(faultOf(error.code));
}

const ownerOf = (ws: WebSocket) => (ws as ServerWebSocket).owner;
