// Who says a bad word is closed with 4003, which tells its client not to come back.
import { serve } from 'roomcast';

const { roomcast, url } = await serve({ port: Number(process.env.PORT ?? 8080) });
roomcast.on('published', ({ member, room, data }) => {
  if (member === null || !JSON.stringify(data).includes('spam')) return;
  roomcast.kick(member);
  roomcast.publish(room, { text: `${member} was removed` }).catch(console.error);
});
console.log(url);
