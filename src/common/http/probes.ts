/** The paths of the health checks, which machines ask every few hundred milliseconds. */
export const PROBES: ReadonlySet<string> = new Set(['/livez', '/readyz']);
