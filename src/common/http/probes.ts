/** The paths of the health checks, which are requested every few hundred milliseconds. */
export const PROBES: ReadonlySet<string> = new Set(['/livez', '/readyz']);
