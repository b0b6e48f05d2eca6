import { basename } from 'node:path';

/** The specs of a module beside the one that is named after it. */
const MORE_SPECS = new Map([['api-key-format', ['redact-keys']]]);

/**
 * A fault in a module must be found by the module's own specs. Jest finds all specs that import it,
 * directly or not, and each would be loaded for each fault: those of a low module are most of them.
 */
export default class OwnSpecsSequencer {
  constructor({ globalConfig }) {
    const names = globalConfig.nonFlagArgs.map((file) => basename(file, '.ts'));
    this.specs = new Set(
      names.flatMap((name) => [name, ...(MORE_SPECS.get(name) ?? [])]).map((name) => `${name}.spec.ts`),
    );
  }

  sort(tests) {
    return tests.filter(({ path }) => this.specs.has(basename(path)));
  }

  cacheResults() {
    // the order has nothing to do with them
  }
}
