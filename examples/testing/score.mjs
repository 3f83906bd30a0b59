// The app under test: shows the score of a game, and warns when it may be outdated.
import { WebSocket } from 'ws';

export function watchScore(url, show) {
  const socket = new WebSocket(url);
  socket.on('open', () => socket.send('{"type":"join","id":1,"room":"score"}'));
  socket.on('message', (text) => {
    const event = JSON.parse(text);
    if (event.type === 'joined') show('no score yet');
    if (event.type === 'message') show(event.data);
    if (event.type === 'gap') show(`missed ${event.count}`);
  });
  return () => socket.terminate();
}
