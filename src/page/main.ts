/** The live page: draws the stream of samples every second, and hosts the chat. */
import { Charts } from './charts.js';
import { Chat } from './chat.js';
import { Detail } from './detail.js';
import { byId, setText } from './dom.js';
import * as format from './format.js';
import type { Hello, Second } from './frame.js';
import { History } from './history.js';
import { Lists } from './lists.js';
import { Now } from './now.js';
import { Servers } from './servers.js';
import { type State, Stream } from './stream.js';
import { Workers } from './workers.js';

const history = new History();
const charts = new Charts(byId('charts', HTMLElement));
const now = new Now();
const lists = new Lists(new Detail());
const workers = new Workers();
const servers = new Servers();
const stateText = byId('state', HTMLElement);
const about = byId('about', HTMLElement);
const notice = byId('notice', HTMLElement);
const broker = byId('broker', HTMLElement);
const lock = byId('lock', HTMLFormElement);
const key = byId('key', HTMLInputElement);
const lockProblem = byId('lock-problem', HTMLElement);

const NO_BROKER =
  'The broker cannot be reached. Members stay connected but receive nothing new, and their publishes are refused.';

let server: Hello | undefined;
let latest: Second | undefined;
let state: State = { is: 'connecting' };

const stream = new Stream({
  state(next) {
    state = next;
    showState();
    if (next.is === 'locked') key.focus();
  },
  hello(hello) {
    const isOther = server?.startedAt !== hello.startedAt;
    server = hello;
    if (isOther) {
      charts.build(hello);
      now.build(hello);
      lists.build(hello);
    }
    for (const { at, values } of hello.past) history.add(at, hello.series, values);
    draw();
  },
  second(second) {
    latest = second;
    history.add(second.at, (server as Hello).series, second.values);
    draw();
  },
});

/** Draws nothing while the page is hidden. */
function draw(): void {
  if (document.hidden || server === undefined) return;
  setText(
    about,
    `${location.host} · roomcast ${server.version} · Node ${server.node.slice(1)} · up ${format.duration(Math.max(1, Math.round((Date.now() - server.startedAt) / 1000)))}`,
  );
  now.numbers(
    (series) => history.last(series),
    (series) => history.worst(series),
    server,
  );
  if (latest !== undefined) {
    lists.show(latest);
    workers.show(latest, server);
    servers.show(latest, server);
  }
  const isUp = latest === undefined || latest.broker === 'up';
  broker.hidden = isUp;
  setText(broker, isUp ? '' : NO_BROKER);
  charts.draw(history);
}

const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const WORDS: Record<State['is'], string> = {
  connecting: 'connecting',
  live: 'live',
  lost: 'no answer',
  locked: 'locked',
  refused: 'refused',
};

function showState(): void {
  document.body.dataset['state'] = state.is;
  setText(stateText, WORDS[state.is]);
  lock.hidden = state.is !== 'locked';
  notice.hidden = state.is !== 'lost' && state.is !== 'refused';
  if (state.is === 'locked') {
    setText(lockProblem, state.wrong ? 'This API key is not valid.' : '');
  } else if (state.is === 'lost') {
    setText(
      notice,
      `The server has not answered since ${clock.format(state.since)}. The page shows the last known state and keeps retrying.`,
    );
  } else if (state.is === 'refused') setText(notice, state.why);
}

lock.addEventListener('submit', (event) => {
  event.preventDefault();
  stream.unlock(key.value.trim());
  key.value = '';
});
document.addEventListener('visibilitychange', draw);

new Chat();
showState();
void stream.connect();
