// A hook that shows the messages of a room, across lost connections, for any number of components.
// StrictMode mounts twice: a leave and a join in the same turn cancel out, and nothing is sent.
import { useCallback, useEffect, useState } from 'react';

const KEPT = 100;
const NOTHING = { messages: [], lost: 0, state: 'joining' };
/** Number of components per room; the last one leaves it. */
const shown = new WeakMap();

function enter(room) {
  shown.set(room, (shown.get(room) ?? 0) + 1);
  room.join().catch(() => {}); // the `left` event reports it
}

function leave(room) {
  shown.set(room, shown.get(room) - 1);
  if (shown.get(room) === 0) room.leave();
}

/** Share one `client` in the whole app: `const client = connect(url)` outside of every component. */
export function useRoom(client, name) {
  const [seen, setSeen] = useState(NOTHING);
  useEffect(() => {
    const listening = new AbortController();
    const { signal } = listening;
    const room = client.room(name);
    const add = (change) => setSeen((before) => ({ ...before, ...change(before) }));
    setSeen({ ...NOTHING, state: room.state === 'joined' ? 'joined' : 'joining' });
    room.on('joined', () => add(() => ({ state: 'joined' })), { signal });
    room.on('left', ({ reason }) => add(() => ({ state: reason })), { signal });
    room.on('gap', ({ count }) => add(({ lost }) => ({ lost: lost + (count ?? 1) })), { signal });
    const keep = (message) =>
      add(({ messages }) => ({ messages: [...messages, message].slice(-KEPT) }));
    room.on('message', keep, { signal });
    enter(room);
    return () => {
      listening.abort();
      leave(room);
    };
  }, [client, name]);
  const publish = useCallback((data) => client.room(name).publish(data), [client, name]);
  return { ...seen, publish };
}
