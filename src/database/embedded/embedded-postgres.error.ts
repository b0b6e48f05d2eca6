/** Why the app's own PostgreSQL server cannot be had, written for the person who starts the app. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}
