/** What rooms keep of their past, and who comes back for it. */
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
      means:
        'Joins a second that came with a position, or wished for the latest messages, by what they were told.',
      normal: 'complete. Others after a deploy: epoch_changed, since rooms began to count anew.',
      act: 'partial: more was missed than is kept; see History evicted for the bound that let it go.',
      runbook: 'RoomcastRecoveriesPartial',
    },
  }),
  graph({
    id: 902,
    title: 'Under way',
    width: 6,
    unit: 'short',
    targets: [
      { expr: sum(PANEL, [], select(PANEL, 'replays')), legend: 'recoveries' },
      { expr: sum(PANEL, [], select(PANEL, 'backfills')), legend: 'requests' },
    ],
    about: {
      means:
        'Joins on their way through what was missed, and members with a request for history. They get what the living leave over.',
      normal: 'a wave after each reconnect of many, gone in seconds.',
      act: 'if it stays high, see Event loop lag: the server has no time left for them.',
      runbook: 'RoomcastRecoveriesPartial',
    },
  }),
  graph({
    id: 903,
    title: 'Read again',
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
        'Messages of before a second: for members that joined with a position, and by request. They are no part of the fan-out.',
      normal: 'sent; expired where less is kept than was missed.',
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
      means: 'Memory of what rooms keep, of --history-bytes-total.',
      normal: `below ${THRESHOLDS.historyMemoryRatio * 100} %. No line where the broker keeps it elsewhere.`,
      act: 'at 100 % the room that is longest without a publish loses its history: raise the bound, or keep less.',
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
      means: 'Messages kept in these processes, and the rooms they are of.',
      normal: 'as many a room as --history-messages, at most. None where no namespace keeps any.',
      act: 'GET /v1/rooms says of each room from where to where it keeps.',
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
      means: 'Messages a second that are kept no longer, by the bound that said so.',
      normal: 'count or age, as many as are published.',
      act: 'total: all rooms together keep too much. bytes: messages are larger than --history-bytes has room for.',
      runbook: 'RoomcastHistoryMemoryHigh',
    },
  }),
  graph({
    id: 907,
    title: 'Pages read again',
    width: 8,
    unit: 'ops',
    targets: [
      { expr: sum(PANEL, ['how'], rate(PANEL, 'replayedBatches')), legend: '{{how}}' },
      { expr: refusedAs(PANEL, 'history_busy'), legend: 'refused: history_busy' },
    ],
    about: {
      means:
        'Batches of messages of before that were handed to members, after a join and by request, and requests that were refused since the member had too many waiting.',
      normal: 'no refusals.',
      act: 'history_busy: a client asks for gaps one by one; it should ask for one range at a time.',
      runbook: 'RoomcastRecoveriesPartial',
    },
  }),
];
