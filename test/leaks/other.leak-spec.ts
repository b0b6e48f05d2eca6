// A second file, so that Jest runs each in a process of its own.
it('passes', () => undefined);
