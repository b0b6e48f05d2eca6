/** Keys of `pg_advisory_lock`. All programs that use one database share them. */
export const ADVISORY_LOCKS = {
  /** Held by the one process that stops the embedded server when it exits. */
  embeddedServerOwner: 7_573_001,
  /** Held by the process that runs a migration. */
  migration: 7_573_002,
  /** Held by the instance that creates the first administrator. */
  firstStart: 7_573_003,
  /** Taken by the trigger `tr_users_last_administrator`, whose migration contains the number. */
  lastAdministrator: 7_573_004,
  /** Shared by the commands that use an embedded server which another process started. */
  embeddedServerUser: 7_573_005,
  /** Held by the command that archives audit events. */
  auditArchive: 7_573_006,
} as const;

const keys = Object.values(ADVISORY_LOCKS);
if (new Set<number>(keys).size !== keys.length) throw new Error('Two advisory locks have one key');
