/**
 * Links to the runbook. A server serves the runbook of its own version at `/runbook`, generated from
 * `docs/runbook.md`; its headings are the anchors.
 */

/** Address at which the reader's browser reaches a server: a variable of the dashboard. */
export const SERVER = '$' + '{roomcast:raw}';

/** @param heading of `docs/runbook.md` */
export const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-');

export const runbook = (heading: string): string => `${SERVER}/runbook#${anchor(heading)}`;

/** Alerts link to the instance that they fire for. */
export const runbookOfInstance = (heading: string): string =>
  `http://{{ $labels.instance }}/runbook#${anchor(heading)}`;
