import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { useTestApp } from './support/app.js';

interface Schema {
  readonly type: string;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly nullable?: boolean;
  readonly example: unknown;
}

/** A valid value that differs from the current one. */
function another({ type, format, enum: values, example }: Schema, current: unknown): unknown {
  if (values) return values.find((value) => value !== current);
  if (type === 'boolean') return !current;
  return format === 'email' ? `${randomUUID()}@example.com` : example;
}

// A field that is added later must reach the row, the response and the audit trail.
describe('Each property of a change of a user', () => {
  const app = useTestApp();

  it.each([
    ['UserUpdate', 'PATCH /v1/users/me'],
    ['UserAdminUpdate', 'PATCH /v1/users/{user_id}'],
  ])(
    'of %s is stored, returned and audited by %s; null is a value, and an absent one changes nothing',
    async (name) => {
      const document = JSON.parse(await readFile('docs/openapi.json', 'utf8')) as {
        components: { schemas: Record<string, { properties: Record<string, Schema> }> };
      };
      const { properties = {} } = document.components.schemas[name] ?? {};
      expect(Object.keys(properties)).toContain('name');
      const admin = await app.given.user({ isAdmin: true });

      for (const [field, schema] of Object.entries(properties)) {
        const ada = await app.given.user();
        const [caller, path] =
          name === 'UserUpdate' ? ([ada, '/v1/users/me'] as const) : ([admin, `/v1/users/${ada.id}`] as const);
        const read = async (): Promise<Record<string, unknown>> =>
          (await app.as(caller).get(path).expect(200)).body as Record<string, unknown>;
        const before = (await read())[field];
        const value = another(schema, before);
        const values = schema.nullable ? [value, null, value] : [value];

        for (const sent of values) {
          const { body } = await app
            .as(caller)
            .patch(path)
            .send({ [field]: sent })
            .expect(200);
          expect(body).toMatchObject({ [field]: sent });
          expect(await read()).toEqual(body);
        }
        const other = field === 'name' ? { rate_limit_per_minute: 7 } : { name: `Renamed ${field}` };
        await app.as(admin).patch(`/v1/users/${ada.id}`).send(other).expect(200);

        expect(await read()).toMatchObject({ [field]: value });
        const trail = (await app.rows(
          `SELECT changes -> $2 AS change FROM audit_events WHERE user_id = $1 AND action = 'user.updated' AND changes ? $2 ORDER BY id`,
          [ada.id, field],
        )) as { change: unknown }[];
        expect(trail.map(({ change }) => change)).toEqual(
          values.map((after, index) => ({ before: index === 0 ? before : values[index - 1], after })),
        );
      }
    },
  );
});
