/** Self-signed certificates, as files. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/**
 * `name`: distinguishes certificates. `folder`: where the files go; by default a folder removed after
 * the test.
 */
export function certificate(name = 'localhost', folder = newFolder()) {
  const [tlsKey, tlsCert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const made = ['-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`];
  const files = ['-keyout', tlsKey, '-out', tlsCert];
  execFileSync('openssl', ['req', '-x509', ...made, ...files], { stdio: 'ignore' });
  return { tlsCert, tlsKey };
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'roomcast-certificate-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}
