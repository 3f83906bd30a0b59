/**
 * Every test runs under the strict lock detector: the wait that would close a deadlock is rejected.
 */
import { configureDetector } from '../../src/lock/index.js';

configureDetector({ mode: 'strict' });
