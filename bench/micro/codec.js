/**
 * Decoding commands and encoding messages: the cost of a publish before and after the broker. For
 * comparison, the JSON functions of the language on the same text, and a refused command. V8 keeps a
 * concatenated text as a list of its parts until it is written: "encode and frame" includes that cost.
 */
import { commandLimits, defaults } from '../../dist/options/config.js';
import { JsonCodec } from '../../dist/protocol/json.js';
import { commandOf } from '../../dist/session/commands/index.js';
import { textFrame } from '../../dist/transport/websocket-frame.js';
import { sink } from './harness.js';

const codec = new JsonCodec();
const limits = commandLimits(defaults);

/** @param {unknown} data */
const publish = (data) => JSON.stringify({ type: 'publish', id: 1, room: 'chat:lobby', data });
const join = JSON.stringify({ type: 'join', id: 1, room: 'chat:lobby' });
const text128 = 'x'.repeat(128);
const text4096 = 'x'.repeat(4096);
const object = { text: 'hello', user: { id: 12345, name: 'someone' }, tags: ['a', 'b'], at: 1.5 };

/** As in a session, including the check of the fields. @param {string} text */
function decoding(text) {
  const bytes = Buffer.byteLength(text);
  return (/** @type {number} */ n) => {
    for (let i = 0; i < n; i += 1) sink.sum += commandIn(text, bytes);
  };
}

/** @param {string} text @param {number} bytes @returns {number} a value that depends on the result */
function commandIn(text, bytes) {
  const asked = codec.decode(text);
  if ('refusal' in asked) return asked.refusal.code.length;
  const command = commandOf(asked.fields, bytes, limits);
  command.check(asked.fields, limits);
  return command.type.length;
}

/** @param {string} text */
const parsing = (text) => (/** @type {number} */ n) => {
  for (let i = 0; i < n; i += 1) sink.sum += JSON.parse(text).type.length;
};

/**
 * @param {unknown} value of `data`; each message has another `seq`
 * @param {(text: string) => { length: number }} [then]
 */
function encoding(value, then = (text) => text) {
  const data = JSON.stringify(value);
  return (/** @type {number} */ n) => {
    for (let seq = 0; seq < n; seq += 1) {
      const message = { room: 'chat:lobby', seq, from: 'kQx0T2h4Zb1m', at: 1795298462604, data };
      sink.sum += then(codec.encodeMessage(message)).length;
    }
  };
}

/** @param {unknown} data */
const stringifying = (data) => (/** @type {number} */ n) => {
  for (let seq = 0; seq < n; seq += 1) {
    const message = { room: 'chat:lobby', seq, from: 'kQx0T2h4Zb1m', at: 1795298462604, data };
    sink.sum += JSON.stringify({ type: 'message', ...message }).length;
  }
};

/** @returns {import('./harness.js').Case[]} */
export const cases = () => [
  { name: 'decode a publish of 128 B', n: 2000, run: decoding(publish(text128)) },
  { name: 'JSON.parse of it', n: 2000, run: parsing(publish(text128)) },
  { name: 'decode a publish of 4 KiB', n: 500, run: decoding(publish(text4096)) },
  { name: 'decode a publish of an object', n: 1000, run: decoding(publish(object)) },
  { name: 'decode a join', n: 2000, run: decoding(join) },
  { name: 'decode invalid JSON, a refusal', n: 100, run: decoding('{"type":') },
  { name: 'encode a message of 128 B', n: 5000, run: encoding(text128) },
  { name: 'JSON.stringify of it', n: 5000, run: stringifying(text128) },
  { name: 'encode a message of 4 KiB', n: 5000, run: encoding(text4096) },
  { name: 'encode and frame a message of 128 B', n: 2000, run: encoding(text128, textFrame) },
  { name: 'encode and frame a message of 4 KiB', n: 1000, run: encoding(text4096, textFrame) },
];
