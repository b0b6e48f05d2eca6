import { execFile } from 'node:child_process';
import { cp, mkdir, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Compiles the client into the `node_modules` of a directory, for programs that import it. */
export async function installClient(directory: string): Promise<void> {
  const modules = join(directory, 'node_modules');
  const client = join(modules, '@users-api/client');
  await mkdir(client, { recursive: true });
  await cp('clients/typescript/package.json', join(client, 'package.json'));
  await promisify(execFile)(process.execPath, ['clients/typescript/build.js', join(client, 'dist')]);
  await symlink(resolve('node_modules/openapi-fetch'), join(modules, 'openapi-fetch'));
}
