import type { Actor } from '../audit-trail/actor.js';
import type { User } from './user.entity.js';
import { InvalidUserNameError, UserChangedError, UserNotFoundError } from './users.errors.js';
import type { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';
import type { UserChanges } from './users.statements.js';

const ADA = { id: 'a', name: 'Ada', version: '3' } as User;

/** One row in memory, which counts its writes. */
class FakeRepository implements Pick<UsersRepository, 'findById' | 'patch'> {
  writes = 0;

  constructor(private row: User | null) {}

  findById(): Promise<User | null> {
    return Promise.resolve(this.row);
  }

  patch(_id: string, { name = '' }: UserChanges, _by: Actor, versions?: readonly string[]): Promise<User | null> {
    this.writes += 1;
    if (!this.row || (versions && !versions.includes(this.row.version))) return Promise.resolve(null);
    this.row = { ...this.row, name };
    return Promise.resolve(this.row);
  }
}

const given = (row: User | null) => {
  const rows = new FakeRepository(row);
  return { rows, users: new UsersService(rows as unknown as UsersRepository) };
};

describe('UsersService', () => {
  it('getById throws UserNotFoundError for an unknown id', async () => {
    await expect(given(null).users.getById('x')).rejects.toThrow(UserNotFoundError);
  });

  it('updateProfile stores the name in its normalized form', async () => {
    expect(await given(ADA).users.updateProfile('a', { name: ' Ada L. ' })).toMatchObject({ name: 'Ada L.' });
  });

  it.each([{}, { name: undefined }])('updateProfile only reads for %j', async (changes) => {
    const { rows, users } = given(ADA);

    expect(await users.updateProfile('a', changes)).toEqual(ADA);
    expect(rows.writes).toBe(0);
  });

  it('updateProfile writes nothing for a name that is not valid', async () => {
    const { rows, users } = given(ADA);

    await expect(users.updateProfile('a', { name: ' ' })).rejects.toThrow(InvalidUserNameError);
    expect(rows.writes).toBe(0);
  });

  it.each([{}, { name: 'New' }])(
    'updateProfile throws UserChangedError for %j on another version, and UserNotFoundError without a user',
    async (changes) => {
      await expect(given(ADA).users.updateProfile('a', changes, { ifVersions: ['2'] })).rejects.toThrow(
        UserChangedError,
      );
      await expect(given(ADA).users.updateProfile('a', changes, { ifVersions: [] })).rejects.toThrow(UserChangedError);
      await expect(given(null).users.updateProfile('a', changes, { ifVersions: ['2'] })).rejects.toThrow(
        UserNotFoundError,
      );
      await expect(given(ADA).users.updateProfile('a', changes, { ifVersions: ['2', '3'] })).resolves.toMatchObject({
        id: 'a',
      });
    },
  );
});
