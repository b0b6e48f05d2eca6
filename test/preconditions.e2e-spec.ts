import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';

const ME = '/v1/users/me';
const MATCHES = { status: 412, message: 'The user has a version that If-None-Match excludes' };

/** RFC 9110, section 13.1.2: of methods that change something, 412 where the condition is false. */
describe('If-None-Match on a request that changes a user', () => {
  const app = useTestApp();
  let admin: GivenUser;
  let ada: GivenUser;
  beforeEach(async () => {
    [admin, ada] = [await app.given.user({ isAdmin: true }), await app.given.user()];
  });

  const tag = (version: number): string => `"${ada.id}.${String(version)}"`;
  const changes = (header: string) => [
    app.as(ada).patch(ME).set('If-None-Match', header).send({ name: 'New' }),
    app.as(ada).patch(ME).set('If-None-Match', header).send({}),
    app.as(admin).patch(`/v1/users/${ada.id}`).set('If-None-Match', header).send({ status: 'INACTIVE' }),
    app.as(admin).patch(`/v1/users/${ada.id.toUpperCase()}`).set('If-None-Match', header).send({ name: 'New' }),
    app.as(admin).delete(`/v1/users/${ada.id}`).set('If-None-Match', header),
  ];

  it.each([
    ['any', () => '*'],
    ['any, between blanks', () => ' * '],
    ['any, in a list', () => '"x", *'],
    ['its own', () => tag(1)],
    ['its own, as a weak one', () => `W/${tag(1)}`],
    ['its own, in a list', () => `"x", ${tag(7)},${tag(1)} , "y"`],
  ])('412 and nothing is written, where its entity tag is among them: %s', async (_, header) => {
    for (const request of changes(header())) {
      const { status, body } = await request;
      expect([status, body]).toEqual([412, MATCHES]);
    }
    expect(await app.stored(ada)).toEqual(ada.row);
  });

  it.each([
    [
      'an earlier one of it',
      async () => {
        await app.as(ada).patch(ME).send({ name: 'Earlier' });
        return tag(1);
      },
    ],
    ['that of another user', () => Promise.resolve(`"${admin.id}.1"`)],
    ['what is none', () => Promise.resolve(`1, ${ada.id}.1, "${ada.id}.01", ""`)],
  ])('200 where its entity tag is not among them: %s', async (_, header) => {
    const { status, body } = await app
      .as(ada)
      .patch(ME)
      .set('If-None-Match', await header())
      .send({ name: 'New' });

    expect([status, body]).toMatchObject([200, { name: 'New' }]);
  });

  it('412 where one of two conditions is false, whichever', async () => {
    const both = [
      app.as(ada).patch(ME).set('If-Match', tag(1)).set('If-None-Match', '*').send({ name: 'New' }),
      app.as(ada).patch(ME).set('If-Match', tag(2)).set('If-None-Match', '"x"').send({ name: 'New' }),
    ];
    for (const request of both) expect((await request).status).toBe(412);
    expect(await app.stored(ada)).toEqual(ada.row);

    const met = app.as(ada).patch(ME).set('If-Match', tag(1)).set('If-None-Match', '"x"').send({ name: 'New' });
    expect((await met).status).toBe(200);
  });

  it('404 for a user that does not exist, and 400 for a body that is not valid, before it is looked at', async () => {
    const nobody = '/v1/users/0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90';

    const unknown = await app.as(admin).patch(nobody).set('If-None-Match', '*').send({ name: 'New' });
    const invalid = await app.as(ada).patch(ME).set('If-None-Match', '*').send({ name: '' });

    expect([unknown.status, invalid.status]).toEqual([404, 400]);
  });

  it('is documented for each of them', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as { paths: Record<string, Record<string, object>> };

    for (const operation of [
      paths[ME]?.patch,
      paths['/v1/users/{user_id}']?.patch,
      paths['/v1/users/{user_id}']?.delete,
    ])
      expect(operation).toMatchObject({
        parameters: expect.arrayContaining([
          expect.objectContaining({ name: 'If-Match', in: 'header' }),
          expect.objectContaining({ name: 'If-None-Match', in: 'header' }),
        ]) as unknown,
      });
  });
});
