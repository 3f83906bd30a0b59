/** A real browser for tests: Debian's Chromium with an empty profile, and no traffic of its own. */
import { existsSync } from 'node:fs';
import { type Browser, chromium, type LaunchOptions } from 'playwright-core';

export const EXECUTABLE = '/usr/bin/chromium';

/** Whether browser tests can run here. If not, they are skipped with the reason; in CI they fail. */
export const hasChromium = process.env['CI'] === 'true' || existsSync(EXECUTABLE);

if (!hasChromium) {
  console.warn(`Browser tests are skipped: ${EXECUTABLE} is missing. apt-get install chromium`);
}

/** No background traffic, and nothing that is missing in a container. */
export const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launchChromium(options: LaunchOptions = {}): Promise<Browser> {
  return chromium.launch({ ...options, executablePath: EXECUTABLE, args: ARGS });
}
