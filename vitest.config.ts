import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/build.ts',
    setupFiles: [
      'test/support/virtual-time.ts',
      'test/support/strict-locks.ts',
      'test/support/property-errors.ts',
    ],
    // Scenarios hold real sockets and clocks: two cores serve two files at a time.
    maxWorkers: 2,
    // Events are awaited, not times, so this is only for what hangs: processes and a browser take
    // ten times as long to start on a machine that is busy with other things.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Shorter, so that what was awaited is named.
    expect: { poll: { timeout: 30_000 } },
  },
});
