/** The reason why the embedded PostgreSQL server cannot be used, for the operator. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}
