import '../database/javascript-client.js';
import { DataSource } from 'typeorm';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { ENTITIES } from '../entities.js';
import { dataSourceOptions } from '../database/data-source.options.js';
import { locateDatabase } from './open-database.js';

/*
 * The data source of TypeORM's command line. It starts the embedded server for as long as it needs
 * it.
 */

readDotEnv();
const config = new AppConfig(process.env);
const { url } = await locateDatabase(config, false, console.error);

export default new DataSource({ ...dataSourceOptions(url, config.transactionPooler), entities: ENTITIES });
