import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Sends bytes as they are, which no HTTP client would, and reads until the server closes or has
 * answered in full.
 */
export function sendRaw(port: number, request: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    let received = '';
    const finish = (): void => {
      socket.destroy();
      resolve(parse(received));
    };
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      const answer = parse(received);
      if (answer.status && answer.body.length >= Number(answer.headers['content-length'] ?? Infinity)) finish();
    });
    socket.on('close', finish);
    socket.on('error', (error) => {
      if (received) finish();
      else reject(error);
    });
  });
}

/** Ends what is sent: the server closes the connection behind its answer. */
const LAST_ID = 'the-last-one';
const LAST = `GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${LAST_ID}\r\nConnection: close\r\n\r\n`;

/**
 * Sends bytes and, behind them, a request of its own with which the connection ends; gives all that
 * comes before the answer to that. The second part is sent once the server has begun to answer.
 */
export function readRaw(port: number, first: string, second?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(second === undefined ? first + LAST : first));
    let received = '';
    socket.on('data', (chunk) => {
      if (received === '' && second !== undefined) socket.write(second + LAST);
      received += chunk.toString('latin1');
    });
    socket.on('close', () => {
      const last = received.indexOf(LAST_ID);
      resolve(last < 0 ? received : received.slice(0, received.lastIndexOf('HTTP/1.1 ', last)));
    });
    socket.on('error', (error) => {
      if (received === '') reject(error);
    });
  });
}

function parse(text: string): RawAnswer {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const body = rest.join('\r\n\r\n');
  const [statusLine = '', ...fields] = head.split('\r\n');
  const headers = Object.fromEntries(
    fields.map((field) => [
      field.slice(0, field.indexOf(':')).toLowerCase(),
      field.slice(field.indexOf(':') + 1).trim(),
    ]),
  );
  return { status: Number(statusLine.split(' ')[1] ?? 0), headers, body };
}

/** Sends bytes and reads all that comes until the server closes the connection, which it must. */
export function readToEnd(port: number, request: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    let received = '';
    socket.on('data', (chunk) => (received += chunk.toString('latin1')));
    socket.on('close', () => {
      resolve(received);
    });
    socket.on('error', (error) => {
      if (received === '') reject(error);
    });
  });
}
