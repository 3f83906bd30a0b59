/** The central promise, measured: one slow member never slows anyone else. */
import { healthyP99, slowMembers } from '../expressions.js';
import { COLOUR, graph, heatmap, type Panel } from '../panels.js';
import { heat, PANEL, quantile } from '../promql.js';
import { THRESHOLDS } from '../thresholds.js';

const delivery = (q: number, consumer: 'healthy' | 'slow') => ({
  expr: quantile(PANEL, q, 'deliverySeconds', { where: [`consumer="${consumer}"`] }),
  legend: `${consumer} p${q * 100}`,
});

export const isolation: readonly Panel[] = [
  graph({
    id: 201,
    title: 'Healthy p99 while members are slow',
    width: 8,
    unit: 's',
    threshold: THRESHOLDS.healthyP99Seconds,
    right: { legend: 'slow members', unit: 'short' },
    colours: { 'healthy p99': COLOUR.healthy, 'slow members': COLOUR.slow },
    targets: [
      { expr: healthyP99(PANEL), legend: 'healthy p99' },
      { expr: slowMembers(PANEL), legend: 'slow members' },
    ],
    about: {
      means:
        'Blue: how long healthy members wait for a message. Orange, right axis: number of slow members. **If the blue line stays flat while the orange one rises, isolation works.**',
      normal: 'the lines are independent of each other.',
      act: 'if they rise together, a shared resource is the cause: check event loop, locks and memory, in this order.',
      runbook: 'RoomcastIsolationBroken',
    },
  }),
  graph({
    id: 202,
    title: 'Delivery time, healthy and slow',
    width: 8,
    unit: 's',
    logarithmic: true,
    colours: { '^healthy': COLOUR.healthy, '^slow': COLOUR.slow },
    strokes: { bold: 'p99$', dashed: 'p99\\.9$' },
    targets: [
      delivery(0.5, 'healthy'),
      delivery(0.99, 'healthy'),
      delivery(0.999, 'healthy'),
      delivery(0.5, 'slow'),
      delivery(0.99, 'slow'),
      delivery(0.999, 'slow'),
    ],
    about: {
      means:
        'Time from the publish until the kernel accepts the write to one member, by the health of the member at that time. Thin: p50, bold: p99, dashed: p99.9. Logarithmic, up to 10 s.',
      normal:
        'two bundles, decades apart: slow members only delay themselves. No slow line if no member is slow.',
      act: 'if the lower bundle rises, see the row Node process; if the upper one falls, slow members recover.',
      runbook: 'RoomcastIsolationBroken',
    },
  }),
  heatmap({
    id: 203,
    title: 'Deliveries to healthy members',
    width: 8,
    unit: 's',
    targets: [
      { expr: heat(PANEL, 'deliverySeconds', { where: ['consumer="healthy"'] }), legend: '{{le}}' },
    ],
    about: {
      means:
        'Distribution of delivery times: darker is more. It shows a second mode, which a quantile hides.',
      normal: 'one band near the bottom.',
      act: 'for a second band, see when it began and what else changed: garbage collection, a large room, a lock.',
      runbook: 'RoomcastIsolationBroken',
    },
  }),
];
