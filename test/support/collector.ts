import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ending } from './leftovers.js';

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** As OTLP has it in JSON; ids in hex, attributes as a plain object. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly status: { readonly code: number; readonly message?: string };
  readonly attributes: Readonly<Record<string, unknown>>;
}

interface Payload {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<ReceivedSpan, 'attributes'> & { readonly attributes: readonly Attribute[] })[];
    }[];
  }[];
}

/** Receives traces over OTLP/HTTP and keeps them as they came. */
export class Collector {
  readonly requests: { readonly url: string | undefined; readonly type: string | undefined; readonly body: Buffer }[] =
    [];

  private readonly server = createServer((request, response) => {
    void this.receive(request, response);
  });

  /** @param answers false for one that takes everything and never says a word */
  private constructor(private readonly answers: boolean) {}

  static async start({ answers = true } = {}): Promise<Collector> {
    const collector = new Collector(answers);
    collector.server.listen(0, '127.0.0.1');
    await once(collector.server, 'listening');
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  private async receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.requests.push({ url: request.url, type: request.headers['content-type'], body: Buffer.concat(chunks) });
    if (this.answers) response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
  }

  /** All that came, in OTLP's JSON. */
  private get payloads(): Payload[] {
    return this.requests.map(({ body }) => JSON.parse(body.toString()) as Payload);
  }

  get spans(): ReceivedSpan[] {
    return this.payloads
      .flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans))
      .flatMap(({ spans }) => spans.map((span) => ({ ...span, attributes: plain(span.attributes) })));
  }

  get resources(): Readonly<Record<string, unknown>>[] {
    return this.payloads.flatMap(({ resourceSpans }) =>
      resourceSpans.map(({ resource }) => plain(resource.attributes)),
    );
  }

  readonly close = ending(async () => {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  });
}

const plain = (attributes: readonly Attribute[]): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
