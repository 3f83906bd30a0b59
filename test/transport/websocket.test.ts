import { transportContract } from '../contract/transport.js';

transportContract('websocket');
transportContract('sockjs-websocket');
