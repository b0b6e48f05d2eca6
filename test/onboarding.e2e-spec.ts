import { DataSource } from 'typeorm';
import { generateApiKey } from '../src/common/api-key-format.js';
import { ApiKeySecretTakenError } from '../src/index.js';
import { OnboardingService } from '../src/onboarding/onboarding.service.js';
import { useTestApp } from './support/app.js';
import { patient, patiently } from './support/patience.js';

const DAY_MS = 86_400_000;

describe('The first administrator', () => {
  const app = useTestApp();

  it('is made once by ten who find no user, with one key, which expires as many days later as is asked for', async () => {
    const service = patient(app.nest.get(OnboardingService));
    // Each of them has a connection, so that none finds the user of another.
    await patiently(() =>
      Promise.all(Array.from({ length: 10 }, () => app.nest.get(DataSource).query('SELECT pg_sleep(0.05)'))),
    );

    const made = await Promise.all(
      Array.from({ length: 10 }, () => service.createFirstAdministrator('admin@example.com', { days: 3 })),
    );

    const keys = made.flatMap((one) => (one ? [one.key] : []));
    expect(keys).toHaveLength(1);
    for (const { createdAt, expiresAt } of keys)
      expect(Math.round((expiresAt.getTime() - createdAt.getTime()) / DAY_MS)).toBe(3);
    expect(await app.rows('SELECT email, is_admin FROM users')).toEqual([
      { email: 'admin@example.com', is_admin: true },
    ]);
    expect(await app.rows('SELECT name FROM api_keys')).toEqual([{ name: 'first-key' }]);
  });
});

describe('A user with a first key', () => {
  const app = useTestApp();

  it('is not made where the key cannot be', async () => {
    const secret = generateApiKey();
    const service = patient(app.nest.get(OnboardingService));
    await service.createUserWithKey({ name: 'Ada', email: 'ada@example.com' }, { secret });

    const second = service.createUserWithKey({ name: 'Bob', email: 'bob@example.com' }, { secret });

    await expect(second).rejects.toThrow(ApiKeySecretTakenError);
    expect(await app.rows('SELECT email FROM users')).toEqual([{ email: 'ada@example.com' }]);
  });
});
