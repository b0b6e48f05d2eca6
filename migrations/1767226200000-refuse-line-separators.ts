import type { MigrationInterface, QueryRunner } from 'typeorm';
import { INVISIBLE } from './1767225600000-create-users.js';
import { ReplaceNewLineSeparators1767226080000 } from './1767226080000-replace-new-line-separators.js';

const check = (forbidden: string, spaces: string): string =>
  `CHECK (
    char_length(name) BETWEEN 1 AND 255
    AND name IS NFC NORMALIZED
    AND name COLLATE "C" ~ '^[^${forbidden}]*[^${forbidden}${spaces}${INVISIBLE}][^${forbidden}]*$'
    AND name COLLATE "C" !~ '^[${spaces}]|[${spaces}]$'
  )`;

/** The rule of src/users/user-name.ts. */
const NEW_RULE = check(
  String.raw`\u0001-\u001f\u007f-\u009f\u2028-\u2029\u202a-\u202e\u2066-\u2069`,
  String.raw`\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\ufeff`,
);

/** The previous rule, which treated the separators as spaces. */
const OLD_RULE = check(
  String.raw`\u0001-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069`,
  String.raw`\u0020\u00a0\u1680\u2000-\u200a\u2028-\u2029\u202f\u205f\u3000\ufeff`,
);

/**
 * The third step: the constraint refuses the separators, and replaces the trigger that replaced
 * them. It reads no stored row (`NOT VALID`), so the table is locked only briefly; the next step
 * reads the rows.
 */
export class RefuseLineSeparators1767226200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(
      `ALTER TABLE users DROP CONSTRAINT ck_users_name, ADD CONSTRAINT ck_users_name ${NEW_RULE} NOT VALID`,
    );
    await runner.query('DROP TRIGGER tr_users_line_separators ON users');
    await runner.query('DROP FUNCTION replace_line_separators()');
  }

  /**
   * Reads every row under the lock. It cannot fail: every name that the new rule allows also passes
   * the old one.
   */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`ALTER TABLE users DROP CONSTRAINT ck_users_name, ADD CONSTRAINT ck_users_name ${OLD_RULE}`);
    await new ReplaceNewLineSeparators1767226080000().up(runner);
  }
}
