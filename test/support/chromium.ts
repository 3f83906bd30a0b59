/** A real browser for tests: Debian's Chromium with an empty profile, and no traffic of its own. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const EXECUTABLE = '/usr/bin/chromium';

/** Whether browser tests can run here. Where they cannot, they are skipped and say why; in CI they fail. */
export const hasChromium = process.env['CI'] === 'true' || existsSync(EXECUTABLE);

if (!hasChromium) {
  console.warn(`Browser tests are skipped: ${EXECUTABLE} is missing. apt-get install chromium`);
}

export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
