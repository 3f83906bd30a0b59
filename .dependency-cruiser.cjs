// Imports only point down this list (README, "The way of a message"). A layer may import from the
// layers below it, never from one above; the core never sees a web framework or a metrics library.
const layers = [
  '^src/cli/',
  '^src/cluster/',
  '^src/(index|testing)\\.ts$',
  '^src/serve\\.ts$',
  '^src/roomcast\\.ts$',
  '^src/(attachment|descriptors|listeners|parts|responses|seat|tracing|transports)\\.ts$',
  '^src/entrance\\.ts$',
  '^src/version\\.ts$',
  '^src/load/',
  '^src/(http|page)/',
  '^src/info\\.ts$',
  '^src/requests\\.ts$',
  '^src/metrics/',
  '^src/sockets\\.ts$',
  '^src/session/',
  '^src/token-bucket\\.ts$',
  '^src/auth/',
  '^src/room/',
  '^src/(app-error|events)\\.ts$',
  '^src/transport/',
  '^src/turns\\.ts$',
  '^src/broker/',
  '^src/protocol/',
  '^src/lock/',
  '^src/log\\.ts$',
  '^src/options/',
  '^src/errors\\.ts$',
  '^src/loop-clock\\.ts$',
  '^src/time\\.ts$',
  '^src/(line|own-text|survived|thenable)\\.ts$',
];
const above = layers.slice(1).map((path, i) => ({
  name: `down-only: ${path}`,
  severity: 'error',
  from: { path },
  to: { path: layers.slice(0, i + 1).join('|') },
}));

module.exports = {
  forbidden: [
    {
      // Two types may speak of each other; two modules may not need each other to load.
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    ...above,
    {
      name: 'lock-stands-alone',
      severity: 'error',
      from: { path: '^src/lock/' },
      to: { path: '^src/', pathNot: '^src/(lock/|time\\.ts$)' },
    },
    {
      name: 'load-knows-only-the-protocol',
      severity: 'error',
      // The script of its report draws with the drawer of the live page.
      from: { path: '^src/load/', pathNot: '^src/load/report/browser\\.ts$' },
      to: { path: '^src/', pathNot: '^src/(load|protocol)/|^src/errors\\.ts$' },
    },
    {
      // Figures come from deliveries and the plan alone, so that they can be tested without a wire.
      name: 'measure-knows-only-the-plan',
      severity: 'error',
      from: { path: '^src/load/measure/' },
      to: { path: '^src/', pathNot: '^src/load/(measure/|(plan|cohort)\\.ts$)' },
    },
    {
      name: 'protocol-is-browser-safe',
      severity: 'error',
      from: { path: '^src/protocol/' },
      to: { dependencyTypes: ['core', 'npm'] },
    },
    {
      name: 'only-metrics-knows-prom-client',
      severity: 'error',
      from: { pathNot: '^src/metrics/' },
      to: { path: 'node_modules/prom-client' },
    },
    {
      name: 'only-auth-knows-jose',
      severity: 'error',
      from: { pathNot: '^src/auth/' },
      to: { path: 'node_modules/jose' },
    },
    {
      name: 'only-tracing-knows-opentelemetry',
      severity: 'error',
      from: { pathNot: '^src/tracing\\.ts$' },
      to: { path: 'node_modules/@opentelemetry' },
    },
    {
      name: 'only-http-knows-fastify',
      severity: 'error',
      from: { pathNot: '^src/http/' },
      to: { path: 'node_modules/(@fastify|fastify)' },
    },
    {
      name: 'only-transport-knows-its-libraries',
      severity: 'error',
      from: { pathNot: '^src/(transport|load)/' },
      to: { path: 'node_modules/(ws|sockjs)/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types'] },
    doNotFollow: { path: 'node_modules' },
  },
};
