/** Who is calling: all that a handler may know of the key and the request. */
export interface Principal {
  readonly userId: string;
  readonly keyId: string;
  readonly isAdmin: boolean;
}
