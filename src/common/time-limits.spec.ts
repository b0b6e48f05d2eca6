describe('The time limits', () => {
  it('are each shorter than the limit that contains it, which is checked when the file is loaded', async () => {
    await expect(import('./time-limits.js')).resolves.toMatchObject({
      PROMISED_RESPONSE_MS: 3_000,
      PROMISED_EXIT_MS: 10_000,
    });
  });
});
