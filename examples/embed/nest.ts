// With Nest 11: rooms on the port of the app, and an injectable service that publishes.
import 'reflect-metadata';
import { Controller, Get, Inject, Module, Post } from '@nestjs/common';
import { HttpAdapterHost, NestFactory } from '@nestjs/core';
import { createRoomcast } from 'roomcast';

class Rooms {
  readonly roomcast = createRoomcast();
  @Inject(HttpAdapterHost) private readonly host!: HttpAdapterHost;

  onApplicationBootstrap() {
    this.roomcast.attach(this.host.httpAdapter.getHttpServer());
  }

  // Members are told when to reconnect before Nest closes the server.
  async beforeApplicationShutdown() {
    await this.roomcast.close();
  }
}

@Controller()
class Pages {
  @Inject(Rooms) private readonly rooms!: Rooms;

  @Get()
  home() {
    return 'the app';
  }

  @Post('news')
  news() {
    return this.rooms.roomcast.publish('a', 'news');
  }
}

@Module({ controllers: [Pages], providers: [Rooms] })
class App {}

const app = await NestFactory.create(App, { logger: ['error'] });
app.enableShutdownHooks();
await app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1');
console.log(await app.getUrl());
