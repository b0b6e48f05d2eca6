/*
 * Makes `pg` load its client in JavaScript, whose connections `PoolClient` closes by itself. This variable of `pg` asks for
 * another one, which is not installed. To be imported before anything that imports `pg`.
 */
delete process.env.NODE_PG_FORCE_NATIVE;
