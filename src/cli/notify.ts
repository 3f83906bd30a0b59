/**
 * Reports the server's state to a service manager (sd_notify). Node has no datagrams on unix sockets, so
 * this runs `systemd-notify`, which every systemd installs; the unit needs `NotifyAccess=all`.
 */
import { spawn } from 'node:child_process';
import type { Log } from '../log.js';

/** Does nothing without `NOTIFY_SOCKET`, that is, without a service manager. */
export function notify(state: 'ready' | 'stopping', log: Pick<Log, 'warn'>): void {
  if (!process.env['NOTIFY_SOCKET']) return;
  const args = ['--no-block', `--pid=${process.pid}`, `${state.toUpperCase()}=1`];
  spawn('systemd-notify', args, { stdio: 'ignore' })
    .on('error', (error) => log.warn({ err: error }, 'systemd-notify cannot be run'))
    .on('exit', (code) => {
      if (code) log.warn({ code }, 'systemd-notify failed');
    });
}
