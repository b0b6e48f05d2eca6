import './javascript-client.js';
import { DataSource } from 'typeorm';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { ENTITIES } from '../entities.js';
import { dataSourceOptions } from './data-source.options.js';
import { locateDatabase } from './open-database.js';

/* What TypeORM's command line works on. It uses the app's own database server, starting it for as long as it needs it. */

readDotEnv();
const config = new AppConfig(process.env);
const { url } = await locateDatabase(config, false, console.error);

export default new DataSource({ ...dataSourceOptions(url, config.transactionPooler), entities: ENTITIES });
