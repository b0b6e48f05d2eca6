/** What a test reads of an answer: of a new user its id, of a new key its secret. */
interface Made {
  readonly id: string;
  readonly secret: string;
}

/** The calls by which a test of the server makes what its load needs. */
export class Administrator {
  constructor(
    private readonly url: string,
    private readonly key: string,
  ) {}

  async post(path: string, body: object): Promise<Made> {
    const response = await fetch(`${this.url}/v1/${path}`, {
      method: 'POST',
      headers: { 'x-api-key': this.key, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`POST /v1/${path}: ${String(response.status)} ${await response.text()}`);
    return (await response.json()) as Made;
  }

  /** A new user with a key that outlives the test. */
  async makeCaller(name: string): Promise<Made> {
    const { id } = await this.post('users', { name, email: `${name}@example.com` });
    const { secret } = await this.post(`users/${id}/api-keys`, { name: 'key', expires_at: '2099-01-01T00:00:00Z' });
    return { id, secret };
  }
}
