import './javascript-client.js';
import { DataSource } from 'typeorm';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { ENTITIES } from '../entities.js';
import { dataSourceOptions } from './data-source.options.js';
import { locateDatabase } from './open-database.js';

/* What TypeORM's command line works on. It uses the app's own database server, starting it for as long as it needs it. */

readDotEnv();
const { url } = await locateDatabase(new AppConfig(process.env), false, console.error);

export default new DataSource({ ...dataSourceOptions(url), entities: ENTITIES });
