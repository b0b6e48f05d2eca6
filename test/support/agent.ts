import type { Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';
import request, { type Response, type Test } from 'supertest';
import { isRepeatable } from '../../clients/typescript/src/retrying-fetch.js';
import { ATTEMPTS } from './patience.js';

export type Agent = ReturnType<typeof request.agent>;

/** The parts of superagent that its types leave out. */
export interface Sent extends Test {
  readonly method: string;
  readonly header: Readonly<Record<string, string>>;
  readonly _data?: unknown;
  _retry(): unknown;
  callback(error: unknown, response: Response): void;
}

/** A response that says what it is about wherever Jest or the console prints it. */
interface Answer extends Response {
  /**
   * 503 although the change was made, as the database shows: the limit was reached while it was
   * under way.
   */
  carriedOut?: true;
}

/** The responses of the test that is running, for `failing-requests.environment.js`. */
const RESPONSES = Symbol.for('users-api.responses');

/**
 * The characters of a body that are shown: an ErrorResponse or a user, and the beginning of a list.
 */
const BODY_LENGTH = 300;

interface Options {
  /**
   * Whether the request with this id has been carried out; not given where that cannot be known.
   */
  readonly wasCarriedOut?: (requestId: string) => Promise<boolean>;
  /** Called before a request is sent once more. */
  readonly repeated?: () => void;
}

/**
 * Calls a server as README asks callers to: a request that gets 503 is sent again after
 * `Retry-After`, up to nine times, unless it has been carried out and would be answered
 * differently. A test that is about a 503 says `.retry(0)`, of a request or of the agent.
 */
export const agentOf = (
  server: Server | string,
  { wasCarriedOut = () => Promise.resolve(true), repeated }: Options = {},
): Agent =>
  request.agent(server).use((test: Test) => {
    const sent = test as Sent;
    const earlier: number[] = [];
    const again = sent._retry.bind(sent);
    let last: Answer;
    sent.on('response', (response: Answer) => {
      last = response;
      const text = describe(sent, response, earlier);
      Object.defineProperty(response, 'toJSON', { value: () => text });
      Object.defineProperty(response, inspect.custom, { value: () => text });
      (globalThis as { [RESPONSES]?: string[] })[RESPONSES]?.push(text);
    });
    sent.retry(ATTEMPTS - 1, (_error, response?: Response) => response?.status === 503);
    // Superagent would send it again at once.
    sent._retry = async () => {
      try {
        earlier.push(last.status);
        await pause(Number(last.headers['retry-after']) * 1_000);
        if (!isRepeatableAsItIs(sent) && (await wasCarriedOut(last.headers['x-request-id'] ?? ''))) {
          last.carriedOut = true;
          sent.retry(0).callback(null, last);
          return;
        }
        repeated?.();
        again();
      } catch (error) {
        sent.retry(0).callback(error, last);
      }
    };
  });

/** Whether a change was made, be it that its caller was told 503. */
export const succeeded = ({ ok, carriedOut }: Answer): boolean => ok || carriedOut === true;

const isRepeatableAsItIs = ({ url, method, header }: Sent): boolean =>
  isRepeatable(new Request(url, { method, headers: { ...(header['If-Match'] !== undefined && { 'if-match': '*' }) } }));

function describe({ method, url }: Sent, response: Response, earlier: readonly number[]): string {
  const { pathname, search } = new URL(url);
  const attempts = earlier.length === 0 ? '' : `, after ${earlier.join(', ')}`;
  const id = (response.headers as Record<string, string>)['x-request-id'] ?? 'none';
  const text = (response.text as string | undefined) ?? ''; // of HEAD there is none
  const body = text.length > BODY_LENGTH ? `${text.slice(0, BODY_LENGTH)}…` : text;
  return `${method} ${pathname}${search}: ${String(response.status)} ${body} (request id ${id}${attempts})`;
}
