import '../database/javascript-client.js';
import { writeFile } from 'node:fs/promises';
import { createApp, documentOf } from '../app.setup.js';
import { createLogger } from '../common/logging/logger.js';
import { AppConfig } from '../config/app.config.js';

/** Writes the published document to the given file. */
const [, , file] = process.argv;
if (file === undefined) throw new Error('Name the file to write');
const logger = await createLogger({ level: 'error', pretty: false }, 2);
const app = await createApp(new AppConfig({}), 'postgresql://nowhere', { logger, preview: true });
await writeFile(file, `${JSON.stringify(documentOf(app), null, 2)}\n`);
