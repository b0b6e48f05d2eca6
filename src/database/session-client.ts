import type { Duplex } from 'node:stream';
import { Client, type ClientConfig } from 'pg';
import { UnreadableDatabaseError } from '../common/errors/database-unavailable.js';
import { failOnThrowingListener } from '../common/fail-on-throwing-listener.js';
import { MessageLengths } from './message-lengths.js';
import type { SessionSettings } from './session-settings.js';

interface Internals {
  readonly getStartupConf: () => SessionSettings;
  readonly connection: { readonly stream: Duplex; readonly attachListeners: (stream: Duplex) => void };
}

/**
 * A connection that sets the `sessionSettings` of its configuration when it is opened. A message
 * that `pg` cannot read fails the connection with an error, rather than ending the process with an
 * exception.
 */
export class SessionClient extends Client {
  constructor(config?: ClientConfig & { readonly sessionSettings?: SessionSettings }) {
    super(config);
    const { getStartupConf, connection } = this as unknown as Internals;
    // `pg` has its own options for only some settings. Its `options` would be overridden by those
    // of a URL, and PgBouncer refuses them.
    Object.assign(this, { getStartupConf: () => ({ ...getStartupConf.call(this), ...config?.sessionSettings }) });

    const { attachListeners, stream: socket } = connection;
    failOnThrowingListener(socket, unreadable);
    Object.assign(connection, {
      attachListeners: (stream: Duplex) => {
        const lengths = new MessageLengths();
        if (stream !== socket) failOnThrowingListener(stream, unreadable); // TLS on the socket
        stream.on('data', (chunk: Buffer) => {
          lengths.check(chunk); // before the parser, whose listener is added next
        });
        attachListeners.call(connection, stream);
      },
    });
  }
}

const unreadable = (thrown: unknown): Error => new UnreadableDatabaseError(thrown);
