import '../database/javascript-client.js';
import { DataSource } from 'typeorm';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { ENTITIES } from '../entities.js';
import { dataSourceOptions } from '../database/data-source.options.js';
import { locateDatabase } from './open-database.js';

/* The data source of TypeORM's command line. The embedded server runs only while it is needed. */

readDotEnv();
const config = new AppConfig(process.env);
const { url } = await locateDatabase(config, false, console.error);

export default new DataSource({ ...dataSourceOptions(url, config.transactionPooler), entities: ENTITIES });
