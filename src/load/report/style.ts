/** The look of the HTML report, light and dark, wide and narrow. */
export const STYLE = `
:root { color-scheme: light dark;
  --bg:#f6f7f9; --card:#fff; --fg:#16202c; --muted:#5b6877; --rule:#dde2e8; --band:#f2a60018; --band-edge:#8a5a00;
  --ok:#12733c; --bad:#b3261e; --warn:#8a5a00;
  --c0:#0b6bcb; --c1:#d1480f; --c2:#7a3cc2; --c3:#00806b; --c4:#c2185b; --c5:#8a6d00; --c6:#4d5a68; }
@media (prefers-color-scheme: dark) { :root {
  --bg:#0f141a; --card:#182029; --fg:#e6ebf1; --muted:#9aa7b5; --rule:#2b3642; --band:#f2a60022; --band-edge:#e0a53a;
  --ok:#5fd08c; --bad:#ff8a80; --warn:#f0c05a;
  --c0:#6db3ff; --c1:#ff9a62; --c2:#c39bff; --c3:#4fd1b5; --c4:#ff8ab5; --c5:#e3c54a; --c6:#a8b4c1; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--bg); color:var(--fg); font:15px/1.5 system-ui,sans-serif; }
main { max-width:1240px; margin:0 auto; padding:24px 16px 48px; }
h1 { font-size:1.5rem; line-height:1.25; margin:0 0 4px; }
h2 { font-size:1.05rem; margin:32px 0 10px; }
p { margin:0; } .muted, figcaption span { color:var(--muted); }
code { font:0.92em ui-monospace,monospace; overflow-wrap:anywhere; }
header { display:flex; flex-wrap:wrap; gap:12px 24px; align-items:flex-start; justify-content:space-between; }
header div { min-width:0; }
.verdict { border:1.5px solid; border-radius:8px; padding:6px 14px; font-weight:650; }
.ok { color:var(--ok); } .bad { color:var(--bad); } .warn { color:var(--warn); }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(150px,1fr)); gap:12px; margin:20px 0 0; }
.tile { background:var(--card); border:1px solid var(--rule); border-radius:10px; padding:12px 14px; }
.tile b { display:block; font-size:1.6rem; line-height:1.2; font-variant-numeric:tabular-nums; }
.tile span { color:var(--muted); font-size:0.87rem; display:block; }
.charts { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr)); gap:16px; }
.chart { display:flex; flex-direction:column; margin:0; background:var(--card); border:1px solid var(--rule); border-radius:10px; padding:14px 16px 30px; min-width:0; }
.chart figcaption span { display:block; font-size:0.87rem; }
.legend { list-style:none; display:flex; flex-wrap:wrap; gap:2px 14px; padding:0; margin:8px 0 24px; font-size:0.87rem; }
.legend i, .zone i, td i { display:inline-block; width:16px; border-top:3px solid var(--colour); margin-right:6px; vertical-align:middle; }
.legend i.dashed { border-top-style:dashed; }
.plot { position:relative; flex:none; height:230px; margin:auto 0 0 58px; }
.plot svg { position:absolute; inset:0; width:100%; height:100%; overflow:visible; }
.plot path { fill:none; stroke:var(--colour); stroke-width:2; stroke-linejoin:round; vector-effect:non-scaling-stroke; }
.plot path.dashed { stroke-dasharray:6 4; }
.grid { stroke:var(--rule); vector-effect:non-scaling-stroke; } .band { fill:var(--band); }
.c0 { --colour:var(--c0); } .c1 { --colour:var(--c1); } .c2 { --colour:var(--c2); } .c3 { --colour:var(--c3); }
.c4 { --colour:var(--c4); } .c5 { --colour:var(--c5); } .c6 { --colour:var(--c6); }
.y, .x { position:absolute; font-size:12px; color:var(--muted); white-space:nowrap; font-variant-numeric:tabular-nums; }
.y { right:calc(100% + 8px); transform:translateY(-50%); } .x { top:calc(100% + 5px); transform:translateX(-50%); }
.band-label { position:absolute; bottom:calc(100% + 1px); display:flex; justify-content:center; font-size:12px; color:var(--band-edge); white-space:nowrap; }
.zone { position:absolute; top:0; bottom:0; } .zone p { display:none; }
.zone:hover { background:linear-gradient(var(--muted),var(--muted)) center/1px 100% no-repeat; z-index:1; }
.zone:hover p { display:block; position:absolute; top:6px; left:calc(50% + 8px); width:max-content; max-width:220px; padding:6px 10px;
  font-size:12px; background:var(--card); border:1px solid var(--rule); border-radius:6px; pointer-events:none; box-shadow:0 2px 10px #0003; }
.zone:hover p.left { left:auto; right:calc(50% + 8px); } .zone b { font-weight:500; color:var(--muted); }
.caption { margin:0 0 8px; font-size:0.87rem; color:var(--muted); }
.scroll:focus-visible { outline:2px solid var(--c0); outline-offset:2px; }
.scroll { overflow-x:auto; background:var(--card); border:1px solid var(--rule); border-radius:10px; }
table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums; }
th, td { padding:7px 10px; text-align:right; white-space:nowrap; border-bottom:1px solid var(--rule); }
th { color:var(--muted); font-weight:500; font-size:0.87rem; } tr:last-child td { border-bottom:0; }
th:first-child, td:first-child { text-align:left; } .figures :is(th,td):first-child { position:sticky; left:0; background:var(--card); }
p.warn { margin-top:8px; } .prose td { text-align:left; white-space:normal; } .prose td:first-child, .prose td:nth-child(2) { white-space:nowrap; } .prose th { text-align:left; }
dl { display:grid; grid-template-columns:max-content 1fr; gap:4px 16px; margin:0; } dt { color:var(--muted); } dd { margin:0; overflow-wrap:anywhere; min-width:0; }
details { background:var(--card); border:1px solid var(--rule); border-radius:10px; padding:10px 14px; margin-top:12px; } summary { cursor:pointer; }
pre { overflow-x:auto; font:12px/1.45 ui-monospace,monospace; margin:10px 0 0; }
@media (max-width:640px) { .prose thead { display:none; } .prose tr { display:block; padding:8px 12px; border-bottom:1px solid var(--rule); }
  .prose tr:last-child { border-bottom:0; } .prose td { display:inline; padding:0 6px 0 0; border:0; white-space:normal; } .prose td:last-child { display:block; color:var(--muted); } }
@media (max-width:480px) { main { padding:16px 10px 32px; } .plot { margin-left:50px; } .chart { padding:12px 10px 30px; } }
`;
