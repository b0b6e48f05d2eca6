/** The originator of a change, as recorded in the audit trail. */
export interface Actor {
  readonly type: 'API_KEY' | 'COMMAND_LINE' | 'APPLICATION';
  readonly userId: string | null;
  readonly keyId: string | null;
  readonly requestId: string | null;
}

export const COMMAND_LINE: Actor = { type: 'COMMAND_LINE', userId: null, keyId: null, requestId: null };

/** Code in this process that acts without a caller: the first start, and modules of a host application. */
export const APPLICATION: Actor = { type: 'APPLICATION', userId: null, keyId: null, requestId: null };
