import { transportContract } from '../contract/transport.js';

transportContract('xhr-streaming');
transportContract('eventsource');
transportContract('xhr-polling');
