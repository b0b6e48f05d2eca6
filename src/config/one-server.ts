/*
 * libpq can choose among several servers, and identify a server by more than its host name; `pg`
 * cannot. `pg` treats a list of hosts as one name, and ignores the other parameters, so that it may
 * connect to a standby or to another server than libpq would.
 */

const FOLLOW_THE_PRIMARY =
  'give one address that follows the primary: that of HAProxy, a Kubernetes Service or a virtual address';

/** The problem of a URL that lists servers, as the rest of a sentence that begins with its name. */
export const ONE_SERVER = `must lead to one server, without target_session_attrs and load_balance_hosts, which the driver does not support: ${FOLLOW_THE_PRIMARY}`;

/** The problem of a URL whose parameters name another server or database than its host and path. */
export const NO_DETOUR =
  'must name the server and the database as its host and path: the driver ignores hostaddr, service, servicefile and dbname';

/** Parameters by which libpq chooses among servers, with the value that disables the choice. */
const CHOICES: Readonly<Record<string, string>> = { target_session_attrs: 'any', load_balance_hosts: 'disable' };
const DETOURS = ['hostaddr', 'service', 'servicefile', 'dbname'];

/** The variables of libpq for the same choices. */
const CHOOSING_VARIABLES: Readonly<Record<string, string>> = {
  PGTARGETSESSIONATTRS: 'any',
  PGLOADBALANCEHOSTS: 'disable',
};
const DETOUR_VARIABLES = ['PGHOSTADDR', 'PGSERVICE'];

/** A URL of libpq; the user, the path and the parameters may be missing. */
const URL_PARTS = /^\w+:\/\/(?:[^/?#]*@)?(?<hosts>[^@/?#]*)[^@?#]*(?:\?(?<query>[^@#]*))?$/;

const isList = (value: unknown): boolean => /,|%2c/i.test(String(value));

/** The hosts with their ports, and the parameters. A list of hosts need not be a valid URL. */
function partsOf(url: string): { readonly hosts: string; readonly parameters: URLSearchParams } {
  const { hosts = '', query } = URL_PARTS.exec(url)?.groups ?? {};
  return { hosts, parameters: new URLSearchParams(query) };
}

/** Whether a URL names one server and asks for no choice. A URL of another form is accepted. */
export function leadsToOneServer(url: string): boolean {
  const { hosts, parameters } = partsOf(url);
  return (
    ![hosts, ...parameters.getAll('host'), ...parameters.getAll('port')].some(isList) &&
    Object.entries(CHOICES).every(([name, none]) => parameters.getAll(name).every((value) => value === none))
  );
}

export const hasNoDetour = (url: string): boolean => !DETOURS.some((name) => partsOf(url).parameters.has(name));

/**
 * Problems of variables that have an effect in libpq, but none or another one in `pg`: one sentence
 * each.
 *
 * @param url `DATABASE_URL`, whose host and port override the variables
 */
export function variableProblems(url: string, env: NodeJS.ProcessEnv): string[] {
  const { hosts, parameters } = partsOf(url);
  const overridden = {
    PGHOST: parameters.has('host') || !/^(:\d*)?$/.test(hosts),
    PGPORT: parameters.has('port') || /:\d+$/.test(hosts),
  };
  const lists = Object.entries(overridden).flatMap(([name, isOverridden]) =>
    !isOverridden && isList(env[name]) ? [name] : [],
  );
  const choices = Object.entries(CHOOSING_VARIABLES).flatMap(([name, none]) =>
    env[name] && env[name] !== none ? [name] : [],
  );
  const detours = DETOUR_VARIABLES.filter((name) => env[name]);
  return [
    ...lists.map((name) => `${name} must be that of one server: ${FOLLOW_THE_PRIMARY}`),
    ...choices.map((name) => `${name} must not be set, since the driver does not support it: ${FOLLOW_THE_PRIMARY}`),
    ...detours.map((name) => `${name} must not be set, since the driver ignores it: name the server in DATABASE_URL`),
  ];
}

/** The options of a connection that determine its server and database. */
export interface Destination {
  readonly url?: string | undefined;
  readonly host?: unknown;
  readonly port?: unknown;
}

/** The problem with the options of a connection: `ONE_SERVER`, `NO_DETOUR` or undefined. */
export function destinationProblem({ url = '', ...rest }: Destination): string | undefined {
  const options: Readonly<Record<string, unknown>> = { ...rest };
  const choices = Object.entries(CHOICES).some(([name, none]) => (options[name] ?? none) !== none);
  if (!leadsToOneServer(url) || isList(rest.host) || isList(rest.port) || choices) return ONE_SERVER;
  return hasNoDetour(url) && !DETOURS.some((name) => options[name] !== undefined) ? undefined : NO_DETOUR;
}
