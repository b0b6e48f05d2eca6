describe('The time limits', () => {
  it('are each shorter than the one that contains it, which the file checks as it is loaded', async () => {
    await expect(import('./time-limits.js')).resolves.toMatchObject({
      PROMISED_RESPONSE_MS: 3_000,
      PROMISED_EXIT_MS: 10_000,
    });
  });
});
