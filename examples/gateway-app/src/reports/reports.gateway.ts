import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { Authenticated, CurrentUser, type Principal } from '@users-api/server';
import { Public } from '../auth/public.decorator.js';

@Public()
@WebSocketGateway()
export class ReportsGateway {
  /** The key is in the handshake, and is checked with each message. */
  @Authenticated()
  @SubscribeMessage('report')
  report(@MessageBody() title: string, @CurrentUser() { userId }: Principal): { title: string; caller: string } {
    return { title, caller: userId };
  }
}
