// A chat with moderation before publication: bad words are masked, and a member that continues
// is closed with 4003, which tells its client not to reconnect.
import { serve } from 'roomcast';

const BAD = /spam/gi;
const strikes = new Map();

const { roomcast, url } = await serve({
  port: Number(process.env.PORT ?? 8080),
  auth: {
    // May be async, to ask a model or a database; the member's next message waits for it.
    publish({ member }, _room, { text }) {
      if (typeof text !== 'string') return false;
      if (text.search(BAD) < 0) return true;
      const count = (strikes.get(member) ?? 0) + 1;
      strikes.set(member, count);
      if (count === 3) roomcast.kick(member);
      return { data: { text: text.replaceAll(BAD, '****') } };
    },
  },
});
roomcast.on('closed', ({ member }) => strikes.delete(member));
console.log(url);
