import type { OpenAPIObject } from '@nestjs/swagger';
import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';

/**
 * Node's parser of queries reads a thousand parameters, empty ones included, and drops the others.
 */
const MANY = '&'.repeat(1_500);

describe('A query', () => {
  const app = useTestApp();

  /** The path of every list. Listed keys are those of the caller. */
  const lists = async ({ id }: GivenUser): Promise<string[]> => {
    const { paths } = (await app.anyone().get('/docs-json')).body as OpenAPIObject;
    return Object.entries(paths).flatMap(([path, { get }]) =>
      get?.parameters?.some((parameter) => 'name' in parameter && parameter.name === 'page')
        ? [path.replace('{user_id}', id)]
        : [],
    );
  };

  it.each([
    [`?${MANY}page=0`, 'page must not be less than 1'],
    [`?${MANY}pgae=2`, 'The property "pgae" is not known here'],
    [`?${'page=1&'.repeat(1_500)}`, 'The query gives "page" twice'],
    ['?page=1&page=1', 'The query gives "page" twice'],
    ['?page=1&%70age=2', 'The query gives "page" twice'],
    ['?page[]=1', 'The property "page[]" is not known here'],
    ['?page[a]=1', 'The property "page[a]" is not known here'],
    ['?page.a=1', 'The property "page.a" is not known here'],
    ['?__proto__=1', 'The property "__proto__" is not known here'],
    ['?constructor=1', 'The property "constructor" is not known here'],
    ['?=1', 'The property "" is not known here'],
    ['?page', 'page must be an integer number'],
    ['?page=1;items_per_page=2', 'page must be an integer number'],
  ])('400 in each list for what it does not read: %s', async (query, message) => {
    const admin = await app.given.user({ isAdmin: true });
    const paths = await lists(admin);

    const answers = await Promise.all(paths.map((path) => app.as(admin).get(path + query)));

    expect(paths).toHaveLength(6);
    for (const { status, body } of answers) expect([status, body]).toEqual([400, { status: 400, message }]);
  });

  it('200 in each list with nothing between its separators', async () => {
    const admin = await app.given.user({ isAdmin: true });

    const answers = await Promise.all(
      (await lists(admin)).map((path) => app.as(admin).get(`${path}?${MANY}items_per_page=7`)),
    );

    for (const { status, body } of answers) {
      expect(status).toBe(200);
      expect(body).toMatchObject({ pagination: { items_per_page: 7 } });
    }
  });

  // Two readings of one query would let a caller hide from the one what it tells the other.
  it.each([MANY, 'user_id=&', '%75ser_id=x&'])('403 for the user_id of another behind %s', async (before) => {
    const [ada, bob] = [await app.given.user(), await app.given.user()];

    const { status } = await app.as(ada).get(`/v1/billing/credit-history?${before}user_id=${bob.id}`);

    expect(status).toBe(403);
  });

  it.each([
    ['start_date=0001-01-01', 200], // the zero date of Go and of .NET
    ['start_date=0001-01-01&end_date=0001-01-01', 200],
    ['start_date=0004-02-29', 200],
    ['start_date=0099-12-31', 200],
    ['start_date=0999-01-01', 200],
    ['end_date=9999-12-31', 200],
    ['start_date=0000-01-01', 400], // PostgreSQL has no such year
    ['start_date=0000-00-00', 400],
    ['start_date=0001-02-29', 400],
    ['start_date=0100-02-29', 400],
    ['start_date=10000-01-01', 400],
    ['start_date=-0001-01-01', 400],
  ])('with %s is %i', async (query, expected) => {
    const ada = await app.given.user();

    const { status, body } = await app.as(ada).get(`/v1/billing/credit-history?${query}`);

    const refusal = { status: 400, message: expect.stringMatching(/^start_date must be a date/) as string };
    expect([status, body]).toMatchObject([expected, expected === 400 ? refusal : { data: [] }]);
  });

  it.each(['0001-01-01T00:00:00Z', '0001-01-01T00:00:00+14:00', '0099-12-31T00:00:00.000+01:00'])(
    '400 for a key that expires in the past, since %s is an instant',
    async (expires_at) => {
      const ada = await app.given.user();

      const { status, body } = await app.as(ada).post('/v1/api-keys').send({ name: 'laptop', expires_at });

      expect([status, body]).toEqual([400, { status: 400, message: 'expires_at must be in the future' }]);
    },
  );
});
