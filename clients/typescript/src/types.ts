import type { UsersApiError } from './errors.js';
import type { paths } from './schema.js';

export type Method = 'get' | 'post' | 'patch' | 'delete';

/** The paths of the document that have a method. */
export type PathWith<M extends Method> = { [P in keyof paths]: paths[P][M] extends object ? P : never }[keyof paths];

/** The operation of a path and a method. */
export type Operation<P extends keyof paths, M extends Method> = NonNullable<paths[P][M]>;

type RequiredKeys<T> = { [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T];

/** With `undefined` for each property that may be absent (`exactOptionalPropertyTypes`). */
type Omittable<T> = T extends object
  ? { [K in keyof T]: Omittable<T[K]> | (object extends Pick<T, K> ? undefined : never) }
  : T;

type Parameters<O> = O extends { parameters: infer P } ? P : never;

type Body<O> = O extends { requestBody: { content: { 'application/json': infer B } } }
  ? { readonly body: Omittable<B> }
  : { readonly body?: undefined };

/** What a call takes beside its path. */
export type CallOptions<O> = Body<O> &
  (RequiredKeys<Parameters<O>> extends never
    ? { readonly params?: Omittable<Parameters<O>> | undefined }
    : { readonly params: Omittable<Parameters<O>> }) & {
    readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
    /** Ends the call, its retries and its waits. */
    readonly signal?: AbortSignal | undefined;
    /** Milliseconds for the whole call; by default those of the client. */
    readonly timeout?: number | undefined;
  };

/** The options of a call, which may be absent if nothing in them must be given. */
export type Arguments<O> =
  RequiredKeys<CallOptions<O>> extends never ? [options?: CallOptions<O>] : [options: CallOptions<O>];

type Responses<O> = O extends { responses: infer R } ? R : never;

/** The body of a success. */
export type Success<O> = {
  [S in keyof Responses<O> & (200 | 201 | 204)]: Responses<O>[S] extends { content: { 'application/json': infer B } }
    ? B
    : undefined;
}[keyof Responses<O> & (200 | 201 | 204)];

/** Of `data` and `error`, one is given. */
export type Result<T> =
  | { readonly data: T; readonly error?: undefined; readonly response: Response }
  | { readonly data?: undefined; readonly error: UsersApiError; readonly response: Response };

export type Call<M extends Method> = <P extends PathWith<M>>(
  path: P,
  ...options: Arguments<Operation<P, M>>
) => Promise<Result<Success<Operation<P, M>>>>;

/** The paths of lists. */
export type ListPath = {
  [P in PathWith<'get'>]: Success<Operation<P, 'get'>> extends { data: unknown[]; pagination: object } ? P : never;
}[PathWith<'get'>];

/** The rows of a list. */
export type Row<P extends ListPath> = Success<Operation<P, 'get'>> extends { data: (infer T)[] } ? T : never;
