import './database/javascript-client.js';
import { writeFile } from 'node:fs/promises';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { API_KEY_SCHEME } from './api-keys/authenticated.decorator.js';
import { AppModule } from './app.module.js';
import { APP_OPTIONS } from './app.setup.js';
import { describeApi } from './common/docs/openapi.js';
import { AppConfig } from './config/app.config.js';
import { poolOptions } from './database/data-source.options.js';

/** Writes the published document to the file that is named. A preview makes no providers, so no database is asked. */
const [, , file] = process.argv;
if (file === undefined) throw new Error('Name the file to write');
const config = new AppConfig({});
const app = await NestFactory.create<NestExpressApplication>(
  AppModule.forRoot(config, poolOptions('postgresql://nowhere', config)),
  { ...APP_OPTIONS, logger: ['error'], preview: true },
);
await writeFile(file, `${JSON.stringify(describeApi(app, API_KEY_SCHEME), null, 2)}\n`);
