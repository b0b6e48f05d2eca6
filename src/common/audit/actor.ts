/** Who makes a change, for the audit trail. */
export interface Actor {
  readonly type: 'API_KEY' | 'COMMAND_LINE' | 'APPLICATION';
  readonly userId: string | null;
  readonly keyId: string | null;
  readonly requestId: string | null;
}

export const COMMAND_LINE: Actor = { type: 'COMMAND_LINE', userId: null, keyId: null, requestId: null };

/** Code that runs in our process without a caller: the first start, and modules of other applications. */
export const APPLICATION: Actor = { type: 'APPLICATION', userId: null, keyId: null, requestId: null };
