import { succeeded } from './support/agent.js';
import { useTestApp } from './support/app.js';
import { type GivenUser, wireUser } from './support/given.js';
import { saying } from './support/message.js';

const ME = '/v1/users/me';

describe('GET /v1/users/me', () => {
  const app = useTestApp();

  it('200 answers the calling user, with the named fields and no others', async () => {
    const ada = await app.given.user({ name: 'Ada', email: 'Ada@Example.com' });

    const response = await app.as(ada).get(ME);

    expect(response.status).toBe(200);
    expect(response.body).toEqual({
      id: ada.id,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updated_at: ada.row.createdAt.toISOString(),
      status: 'ACTIVE',
      name: 'Ada',
      email: 'Ada@Example.com',
      credits_balance: 0,
    });
  });

  it('200 answers the largest balance as an exact integer', async () => {
    const ada = await app.given.user();
    await app.given.sql('UPDATE users SET credits_balance = 9007199254740991 WHERE id = $1', [ada.id]);

    const response = await app.as(ada).get(ME);

    expect(response.text).toContain('"credits_balance":9007199254740991}');
  });

  it('304 answers nothing while If-None-Match still holds, and 200 once it does not', async () => {
    const ada = await app.given.user();
    const { etag = '' } = (await app.as(ada).get(ME)).headers;

    const unchanged = await app.as(ada).get(ME).set('If-None-Match', `"other", W/${etag}`);
    await app.as(ada).patch(ME).send({ name: 'Changed' });
    const changed = await app.as(ada).get(ME).set('If-None-Match', etag);

    expect(unchanged.status).toBe(304);
    expect(unchanged.text).toBe('');
    expect(unchanged.headers.etag).toBe(etag);
    expect(changed.status).toBe(200);
    expect(changed.headers.etag).not.toBe(etag);
  });

  it('304 also for a caller that sends no-cache along, as fetch does by itself', async () => {
    const ada = await app.given.user();

    const response = await fetch(`http://127.0.0.1:${String(app.port)}${ME}`, {
      headers: { 'x-api-key': ada.key, 'if-none-match': `"${ada.id}.1"`, 'cache-control': 'no-cache' },
    });

    expect(response.status).toBe(304);
  });

  it("200 does not take another user's ETag for one of its own", async () => {
    const ada = await app.given.user();
    const bob = await app.given.user();
    const { etag = '' } = (await app.as(ada).get(ME)).headers;

    const response = await app.as(bob).get(ME).set('If-None-Match', etag);

    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({ vary: 'x-api-key', 'cache-control': 'private, no-cache' });
  });

  it('200 answers HEAD like GET, without the body', async () => {
    const ada = await app.given.user();

    const response = await app.as(ada).head(ME);

    expect(response.status).toBe(200);
    expect(response.headers.etag).toBe(`"${ada.id}.1"`);
  });
});

describe('PATCH /v1/users/me', () => {
  const app = useTestApp();

  const patch = (user: GivenUser, body: string | object, type = 'application/json') =>
    app.as(user).patch(ME).set('Content-Type', type).send(body);

  it('200 renames the caller and leaves everyone else alone', async () => {
    const ada = await app.given.user({ name: 'Ada' });
    const bob = await app.given.user({ name: 'Bob' });

    const response = await patch(ada, { name: 'Ada L.' });

    expect(response.status).toBe(200);
    expect(response.body).toEqual({ ...wireUser(ada), name: 'Ada L.', updated_at: expect.any(String) });
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(response.headers.etag).toBe(`"${ada.id}.2"`);
    expect(await app.stored(ada)).toMatchObject({ name: 'Ada L.' });
    expect(await app.stored(bob)).toEqual(bob.row);
  });

  it('200 answers the row as stored: trimmed and in NFC', async () => {
    const ada = await app.given.user();

    const response = await patch(ada, { name: ' \t\u00a0Ame\u0301lie\u3000\n' });

    expect(response.body).toMatchObject({ name: 'Am\u00e9lie' });
    expect((await app.stored(ada)).name).toBe('Am\u00e9lie');
  });

  it('200 for {} changes nothing, updated_at and ETag included', async () => {
    const ada = await app.given.user();

    const response = await patch(ada, {});

    expect(response.status).toBe(200);
    expect(response.body).toEqual(wireUser(ada));
    expect(response.headers.etag).toBe(`"${ada.id}.1"`);
    expect(await app.stored(ada)).toEqual(ada.row);
  });

  it('200 for the same name again changes nothing either', async () => {
    const ada = await app.given.user({ name: 'Am\u00e9lie' });

    const response = await patch(ada, { name: ' Ame\u0301lie ' });

    expect(response.body).toEqual(wireUser(ada));
    expect(response.headers.etag).toBe(`"${ada.id}.1"`);
  });

  it('200 raises updated_at with every change, however fast they follow each other', async () => {
    const ada = await app.given.user();
    const seen = [ada.row.updatedAt.toISOString()];

    for (let turn = 0; turn < 20; turn += 1) {
      const { body } = await patch(ada, { name: `Turn ${String(turn)}` });
      seen.push((body as { updated_at: string }).updated_at);
    }

    expect(seen).toEqual([...new Set(seen)].sort());
  });

  it('200 raises updated_at by a millisecond where the clock has not passed it', async () => {
    const ada = await app.given.user();
    await app.given.sql(`UPDATE users SET updated_at = '2100-01-01T00:00:00Z' WHERE id = $1`, [ada.id]);

    const { body } = await patch(ada, { name: 'Later' });

    expect(body).toMatchObject({ updated_at: '2100-01-01T00:00:00.001Z' });
  });

  it('200 does not touch credits_balance, nor a balance that another writer is changing', async () => {
    const ada = await app.given.user();

    await Promise.all([
      ...Array.from({ length: 20 }, (_, turn) => patch(ada, { name: `Name ${String(turn)}` })),
      ...Array.from({ length: 20 }, () =>
        app.given.sql('UPDATE users SET credits_balance = credits_balance + 1 WHERE id = $1', [ada.id]),
      ),
    ]);

    expect((await app.stored(ada)).creditsBalance).toBe(20);
  });

  it('200 gives each of 100 concurrent writers its own write back', async () => {
    const ada = await app.given.user();
    const names = Array.from({ length: 100 }, (_, turn) => `Writer ${String(turn)}`);

    const responses = await Promise.all(names.map((name) => patch(ada, { name })));

    expect(responses.map(({ status }) => status)).toEqual(names.map(() => 200));
    expect(responses.map(({ body }) => (body as { name: string }).name)).toEqual(names);
    expect(new Set(responses.map(({ headers }) => headers.etag)).size).toBe(100);
    expect((await app.stored(ada)).version).toBe('101');
  });

  it('200 for exactly one of 50 concurrent writers with one If-Match, and 412 for the others', async () => {
    const ada = await app.given.user();
    const names = Array.from({ length: 50 }, (_, turn) => `Writer ${String(turn)}`);

    const responses = await Promise.all(names.map((name) => patch(ada, { name }).set('If-Match', `"${ada.id}.1"`)));

    expect(responses.filter(succeeded)).toHaveLength(1);
    expect(responses.filter(({ status }) => status === 412)).toHaveLength(49);
    expect((await app.stored(ada)).name).toBe(names[responses.findIndex(succeeded)]);
    expect((await app.stored(ada)).version).toBe('2');
  });

  it.each(['*', '"other", "ID.1"', ' "ID.1" '])('200 while If-Match holds: %s', async (condition) => {
    const ada = await app.given.user();

    const response = await patch(ada, { name: 'New' }).set('If-Match', condition.replace('ID', ada.id));

    expect(response.status).toBe(200);
  });

  // A condition that cannot be read must not count as met: that would overwrite what the caller
  // wanted to protect.
  it.each(['"ID.2"', '"ID.0"', 'W/"ID.1"', 'ID.1', '"other"', '""', 'garbage', ''])(
    '412 writes nothing when If-Match does not hold: %s',
    async (condition) => {
      const ada = await app.given.user();
      const header = condition.replace('ID', ada.id);

      const response = await patch(ada, { name: 'New' }).set('If-Match', header);
      const empty = await patch(ada, {}).set('If-Match', header);

      expect(response.status).toBe(412);
      expect(response.body).toEqual({
        status: 412,
        message: 'The user has changed since the version that If-Match names',
      });
      expect(empty.status).toBe(412);
      expect(await app.stored(ada)).toEqual(ada.row);
    },
  );

  it.each([
    ['a null name', '{"name":null}', 'name must be a string'],
    ['a number', '{"name":1}', 'name must be a string'],
    ['a boolean', '{"name":true}', 'name must be a string'],
    ['an array', '{"name":["Ada"]}', 'name must be a string'],
    ['an object', '{"name":{"toString":"Ada"}}', 'name must be a string'],
    ['an empty name', '{"name":""}', /^name must have at least one visible character/],
    ['blanks', '{"name":" \\u00a0\\u200b"}', /^name must have at least one visible character/],
    ['a control character', '{"name":"A\\u0007da"}', /no control characters/],
    ['NUL', '{"name":"A\\u0000da"}', /no control characters/],
    ['a line break', '{"name":"A\\nda"}', /no control characters/],
    ['a lone surrogate', '{"name":"A\\ud83dda"}', /lone surrogates/],
    ['a line separator', '{"name":"A\\u2028da"}', /line separators/],
    ['a paragraph separator', '{"name":"A\\u2029da"}', /line separators/],
    ['a bidirectional override', '{"name":"A\\u202eda"}', /bidirectional/],
    [
      'a name that is too long',
      JSON.stringify({ name: '\u{1f600}'.repeat(256) }),
      'name must be at most 255 characters long',
    ],
    ['email', '{"email":"eve@example.com"}', 'The property "email" is not known here'],
    ['status', '{"name":"Ada","status":"INACTIVE"}', 'The property "status" is not known here'],
    ['credits_balance', '{"credits_balance":1000000}', 'The property "credits_balance" is not known here'],
    ['a typing error', '{"nmae":"Ada"}', 'The property "nmae" is not known here'],
    ['a name in another case', '{"Name":"Ada"}', 'The property "Name" is not known here'],
    ['__proto__', '{"__proto__":{"name":"Ada"}}', 'The property "__proto__" is not known here'],
    ['constructor', '{"constructor":{"prototype":{"isAdmin":true}}}', 'The property "constructor" is not known here'],
    ['toString', '{"toString":"Ada"}', 'The property "toString" is not known here'],
    ['a property given twice', '{"name":"Ada","name":"Eve"}', 'The body gives the property "name" twice'],
    [
      'a property given twice in two spellings',
      '{"name":"Ada","n\\u0061me":"Ada"}',
      'The body gives the property "name" twice',
    ],
    ['nothing', '', 'The body must be a JSON object, but it is empty'],
    ['white space', ' \n', 'The body must be a JSON object, but it is empty'],
    ['null', 'null', 'The body must be a JSON object'],
    ['an array as the body', '[{"name":"Ada"}]', 'The body must be a JSON object'],
    ['a string as the body', '"Ada"', 'The body must be a JSON object'],
    ['a number as the body', '1', 'The body must be a JSON object'],
    ['broken JSON', '{"name":"Ada"', 'The body must be valid JSON'],
    ['JSON with a comment', '{"name":"Ada"/**/}', 'The body must be valid JSON'],
    ['two documents', '{"name":"Ada"}{}', 'The body must be valid JSON'],
  ])('400 refuses %s and writes nothing', async (_, body, message) => {
    const ada = await app.given.user();

    const response = await patch(ada, body);

    expect(response.status).toBe(400);
    expect(response.body).toEqual({
      status: 400,
      message: saying(message),
    });
    expect(await app.stored(ada)).toEqual(ada.row);
  });

  it('400 refuses a body that is not UTF-8', async () => {
    const ada = await app.given.user();

    const response = await app
      .as(ada)
      .patch(ME)
      .set('Content-Type', 'application/json')
      .serialize((body: unknown) => body as string)
      .send(Buffer.from('{"name":"Am\xe9lie"}', 'latin1') as unknown as string);

    expect(response.body).toEqual({ status: 400, message: 'The body must be in UTF-8' });
  });

  it('200 counts code points, not UTF-16 units: 255 emoji are a name', async () => {
    const ada = await app.given.user();
    const name = '\u{1f600}'.repeat(255);

    const response = await patch(ada, { name });

    expect(response.status).toBe(200);
    expect((await app.stored(ada)).name).toBe(name);
  });

  it.each([
    'application/json',
    'application/merge-patch+json',
    'APPLICATION/JSON; charset="UTF-8"',
    'application/json;charset=utf-8',
  ])('200 takes %s', async (type) => {
    const ada = await app.given.user();

    const response = await patch(ada, '{"name":"New"}', type);

    expect(response.status).toBe(200);
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/jsonp',
    'application/json-patch+json',
    'application/json; charset=utf-16',
    'application/json; charset=latin1',
    'nonsense',
  ])('415 refuses %s, names what it takes and writes nothing', async (type) => {
    const ada = await app.given.user();

    const response = await patch(ada, '{"name":"New"}', type);

    expect(response.status).toBe(415);
    expect(response.body).toEqual({ status: 415, message: expect.any(String) });
    expect(response.headers['accept-patch']).toBe('application/json, application/merge-patch+json');
    expect(await app.stored(ada)).toEqual(ada.row);
  });

  it('415 refuses a body without a media type, which must not become a silent 200', async () => {
    const ada = await app.given.user();

    const response = await fetch(`http://127.0.0.1:${String(app.port)}${ME}`, {
      method: 'PATCH',
      headers: { 'x-api-key': ada.key },
      body: Buffer.from('{"name":"New"}'),
    });

    expect(response.status).toBe(415);
    expect(await app.stored(ada)).toEqual(ada.row);
  });

  it('415 refuses a compressed body', async () => {
    const ada = await app.given.user();

    const response = await patch(ada, { name: 'New' }).set('Content-Encoding', 'gzip');

    expect(response.status).toBe(415);
  });

  it('200 takes a body of 16 KiB, and 413 refuses one byte more', async () => {
    const ada = await app.given.user();
    const body = (size: number): string => '{"name":"New"}'.padEnd(size, ' ');

    expect((await patch(ada, body(16 * 1024))).status).toBe(200);
    const tooLarge = await patch(ada, body(16 * 1024 + 1));

    expect(tooLarge.status).toBe(413);
    expect(tooLarge.body).toEqual({ status: 413, message: 'The body must be at most 16384 bytes long' });
  });

  it('413 refuses a body without an announced length as soon as it is too large', async () => {
    const ada = await app.given.user();
    const endless = new ReadableStream({
      pull: (controller) => {
        controller.enqueue(Buffer.alloc(1024, ' '));
      },
    });

    const response = await fetch(`http://127.0.0.1:${String(app.port)}${ME}`, {
      method: 'PATCH',
      headers: { 'x-api-key': ada.key, 'content-type': 'application/json' },
      body: endless,
      duplex: 'half',
    });

    expect(response.status).toBe(413);
  });

  it('checks the media type before the JSON, and the JSON before the fields', async () => {
    const ada = await app.given.user();

    expect((await patch(ada, '{"emial"', 'text/plain')).status).toBe(415);
    expect((await patch(ada, '{"emial"')).body).toMatchObject({ message: 'The body must be valid JSON' });
    expect((await patch(ada, { emial: 1 }).set('If-Match', '"x"')).status).toBe(400);
  });

  it('uses one statement for the key and one for the write', async () => {
    const ada = await app.given.user();

    const statements = await app.statementsDuring(() => patch(ada, { name: 'New' }).set('If-Match', `"${ada.id}.1"`));

    expect(statements).toBe(2);
  });
});
