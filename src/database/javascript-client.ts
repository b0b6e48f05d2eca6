/*
 * Makes `pg` use its JavaScript client, whose sockets `PoolClient` closes. This variable of `pg`
 * requests the native client, which is not installed. Import this file before any that imports
 * `pg`.
 */
delete process.env.NODE_PG_FORCE_NATIVE;
