import { DataSource } from 'typeorm';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { ENTITIES } from '../entities.js';
import { dataSourceOptions } from './data-source.options.js';
import { openEmbeddedPostgres } from './embedded/open-embedded-postgres.js';

/* What TypeORM's command line works on. It uses the app's own database server, starting it for as long as it needs it. */

readDotEnv();
const { databaseUrl, dataDir } = new AppConfig(process.env);

const url = databaseUrl ?? (await openEmbeddedPostgres({ dataDir, owner: false, log: console.error }));

export default new DataSource({ ...dataSourceOptions(url), entities: ENTITIES });
