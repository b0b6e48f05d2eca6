import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './ports.js';
import { startProcess } from './processes.js';

/** Exact, so that a run tells of our changes and not of theirs. */
const PRISM = '@stoplight/prism-cli@5.16.0';

interface Violation {
  readonly location: readonly string[];
  readonly message: string;
}

interface Carried {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly mediaType: string | undefined;
}

/**
 * Whether Prism hands a request on as it is. It knows no HEAD; and it parses queries and bodies and
 * writes them anew, so what a parser would change, or choke on, goes to the server directly.
 */
export function isCarried({ method, path, body, mediaType = 'application/json' }: Carried): boolean {
  if (method === 'HEAD' || path.includes('__proto__')) return false;
  const [, query = ''] = path.split('?');
  if (new URLSearchParams(query).toString() !== query.replaceAll('%20', '+')) return false;
  if (body === undefined) return true;
  if (mediaType !== 'application/json' || Buffer.isBuffer(body)) return false;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  try {
    return text.startsWith('{') && JSON.stringify(JSON.parse(text)) === text;
  } catch {
    return false;
  }
}

/**
 * Stoplight Prism between a client and the server, as a proxy that compares what passes with the
 * published document. Tests send bad requests on purpose, so of the violations it finds only those
 * of answers count.
 */
export class Prism {
  /** Of answers. */
  readonly violations: string[] = [];
  /** How many it found in requests: none would mean that it does not look. */
  requestViolations = 0;

  private constructor(
    readonly url: string,
    readonly stop: () => Promise<void>,
  ) {}

  static async before(upstream: string): Promise<Prism> {
    const port = await freePort();
    const words = [
      '--yes',
      PRISM,
      'proxy',
      'docs/openapi.json',
      upstream,
      '--port',
      String(port),
      '--verboseLevel',
      'silent',
    ];
    const { child, end } = startProcess('npx', words, { stdio: 'ignore' });
    const prism = new Prism(`http://127.0.0.1:${String(port)}`, end);
    while (!(await fetch(`${prism.url}/livez`).catch(() => null))?.ok) {
      if (child.exitCode !== null) throw new Error(`${PRISM} did not start`);
      await sleep(100);
    }
    return prism;
  }

  /** Takes note of what Prism says about an answer. */
  note(request: string, { headers, status }: { headers: Record<string, string>; status: number }): void {
    if (status === 405) return; // of no operation: Prism compares it with one whose path matches as well
    const violations = JSON.parse(headers['sl-violations'] ?? '[]') as Violation[];
    for (const { location, message } of violations)
      if (location[0] === 'request') this.requestViolations += 1;
      else this.violations.push(`${request} ${String(status)}: ${location.join('.')} ${message}`);
  }
}
