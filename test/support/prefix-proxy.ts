import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ending } from './leftovers.js';
import { freePort } from './ports.js';
import { startProcess, temporaryDirectory } from './processes.js';

/** Any nginx will do. Without one, a proxy of Node.js takes its place, which CI has. */
const NGINX = process.env.NGINX ?? '/usr/sbin/nginx';

export interface PrefixProxy {
  /** The URL of the application, with the prefix and without a slash at the end. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Starts a proxy that removes a prefix of the path before it passes a request on.
 *
 * @param port of the application
 * @param options.names whether it names the prefix in `X-Forwarded-Prefix`
 */
export async function startPrefixProxy(
  port: number,
  prefix: string,
  { names, listen }: { readonly names: boolean; readonly listen?: number },
): Promise<PrefixProxy> {
  const own = listen ?? (await freePort());
  const close = existsSync(NGINX)
    ? await startNginx(own, port, prefix, names)
    : await startNodeProxy(own, port, prefix, names);
  return { url: `http://127.0.0.1:${String(own)}${prefix}`, close };
}

async function startNginx(own: number, port: number, prefix: string, names: boolean): Promise<() => Promise<void>> {
  const { path: directory, remove } = await temporaryDirectory();
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  const config = join(directory, 'nginx.conf');
  await writeFile(
    config,
    `daemon off; master_process off; pid ${directory}/pid; error_log stderr;
    events {}
    http {
      access_log off; ${paths.join(' ')}
      server {
        listen 127.0.0.1:${String(own)};
        location ${prefix}/ {
          proxy_pass http://127.0.0.1:${String(port)}/;
          proxy_set_header Host $http_host;
          ${names ? `proxy_set_header X-Forwarded-Prefix ${prefix};` : ''}
        }
      }
    }`,
  );
  const { child, end } = startProcess(NGINX, ['-e', 'stderr', '-c', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  while (!(await answers(own))) {
    if (child.exitCode !== null) throw new Error(`${NGINX} ended with ${String(child.exitCode)}`);
    await sleep(20);
  }
  return async () => {
    await end();
    await remove();
  };
}

const answers = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${String(port)}/`).then(
    () => true,
    () => false,
  );

async function startNodeProxy(own: number, port: number, prefix: string, names: boolean): Promise<() => Promise<void>> {
  const server = createServer((incoming, outgoing) => {
    const { method, url = '', headers } = incoming;
    if (!url.startsWith(`${prefix}/`)) {
      outgoing.writeHead(404).end();
      return;
    }
    const forwarded = httpRequest(
      {
        port,
        method,
        path: url.slice(prefix.length),
        headers: { ...headers, ...(names && { 'x-forwarded-prefix': prefix }) },
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  }).listen(own, '127.0.0.1');
  await once(server, 'listening');
  return ending(async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });
}
