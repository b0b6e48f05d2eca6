import { Client, type ClientConfig } from 'pg';
import type { SessionSettings } from './session-settings.js';

interface Internals {
  readonly getStartupConf: () => SessionSettings;
}

/** A connection that sets the `sessionSettings` of its configuration as it is opened. */
export class SessionClient extends Client {
  constructor(config?: ClientConfig & { readonly sessionSettings?: SessionSettings }) {
    super(config);
    const { getStartupConf } = this as unknown as Internals;
    // `pg` has options of its own for some settings only. Its `options` would give way to those of a URL, and PgBouncer refuses them.
    Object.assign(this, { getStartupConf: () => ({ ...getStartupConf.call(this), ...config?.sessionSettings }) });
  }
}
