/** Room history and the members that resume from it. */
import { historyRatio, refusedAs } from '../expressions.js';
import { COLOUR, graph, type Panel } from '../panels.js';
import { PANEL, PANEL_BY_INSTANCE, rate, select, sum } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

export const recovery: readonly Panel[] = [
  graph({
    id: 901,
    title: 'Recoveries',
    width: 6,
    unit: 'ops',
    stacked: true,
    colours: { complete: COLOUR.good },
    targets: [{ expr: sum(PANEL, ['result'], rate(PANEL, 'recoveries')), legend: '{{result}}' }],
    about: {
      means: 'Joins per second with a position or a request for the latest messages, by result.',
      normal: 'complete. After a deploy also epoch_changed, since rooms restart their numbering.',
      act: 'partial: more was missed than is kept; see History evicted for the bound responsible.',
      runbook: 'RoomcastRecoveriesPartial',
    },
  }),
  graph({
    id: 902,
    title: 'Replays in progress',
    width: 6,
    unit: 'short',
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'replays')), legend: 'recoveries' },
      { expr: sum(PANEL, [], select(PANEL, 'backfills')), legend: 'requests' },
    ],
    about: {
      means:
        'Joins that are replaying missed messages, and members with a pending history request. Replays only use spare capacity.',
      normal: 'a peak after each mass reconnect, gone in seconds.',
      act: 'if it stays high, see Event loop lag: the server has no capacity left for replays.',
      runbook: 'RoomcastRecoveriesPartial',
    },
  }),
  graph({
    id: 903,
    title: 'Replayed messages',
    width: 6,
    unit: 'ops',
    stacked: true,
    targets: [
      {
        expr: sum(PANEL, ['how', 'result'], rate(PANEL, 'replayed')),
        legend: '{{how}} {{result}}',
      },
    ],
    about: {
      means:
        'Messages per second from the history, for members that joined with a position and for history requests. They do not count as fan-out.',
      normal: 'sent; expired if less is kept than was missed.',
      act: 'abandoned: members left, or did not catch up within --recover-max-ms.',
      runbook: 'RoomcastRecoveriesPartial',
    },
  }),
  graph({
    id: 904,
    title: 'History memory',
    width: 6,
    unit: 'percentunit',
    threshold: THRESHOLDS.historyMemoryRatio,
    targets: [{ expr: historyRatio(PANEL_BY_INSTANCE), legend: '{{instance}}' }],
    about: {
      means: 'Memory of room history as a share of --history-bytes-total.',
      normal: `below ${THRESHOLDS.historyMemoryRatio * 100} %. No line if the broker keeps the history elsewhere.`,
      act: 'at 100 % the room with the oldest last publish loses its history: raise the limit, or keep less.',
      runbook: 'RoomcastHistoryMemoryHigh',
    },
  }),
  graph({
    id: 905,
    title: 'History held',
    width: 8,
    unit: 'short',
    logarithmic: true,
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'historyMessages')), legend: 'messages' },
      { expr: sum(PANEL, [], select(PANEL, 'historyRooms')), legend: 'rooms' },
    ],
    about: {
      means: 'Messages kept in these processes, and the number of their rooms.',
      normal: 'at most --history-messages per room. None if no namespace keeps any.',
      act: 'GET /v1/rooms shows the kept range of each room.',
      runbook: 'RoomcastHistoryMemoryHigh',
    },
  }),
  graph({
    id: 906,
    title: 'History evicted',
    width: 8,
    unit: 'ops',
    stacked: true,
    targets: [
      { expr: sum(PANEL, ['reason'], rate(PANEL, 'historyEvicted')), legend: '{{reason}}' },
    ],
    about: {
      means: 'Messages per second removed from the history, by the bound responsible.',
      normal: 'count or age, as many as are published.',
      act: 'total: all rooms together exceed the limit. bytes: messages are too large for --history-bytes.',
      runbook: 'RoomcastHistoryMemoryHigh',
    },
  }),
  graph({
    id: 907,
    title: 'Replay batches',
    width: 8,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, ['how'], rate(PANEL, 'replayedBatches')), legend: '{{how}}' },
      { expr: refusedAs(PANEL, 'history_busy'), legend: 'refused: history_busy' },
    ],
    about: {
      means:
        'Batches of history messages sent to members, after a join and by request, and requests refused because the member had too many pending.',
      normal: 'no refusals.',
      act: 'history_busy: a client sends many history requests at once; it should request one range at a time.',
      runbook: 'RoomcastRecoveriesPartial',
    },
  }),
];
