import { administer } from './global-setup.js';

export default async function globalTeardown() {
  const { TEST_SERVER_URL, TEST_TEMPLATE } = process.env;
  await administer(TEST_SERVER_URL, `DROP DATABASE ${TEST_TEMPLATE} WITH (FORCE)`);
}
