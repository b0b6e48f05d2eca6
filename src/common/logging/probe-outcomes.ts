import { PROBES } from '../http/probes.js';

/**
 * The last answer to each health check: only one that differs from the answer before it is worth a
 * line in the log.
 */
export class ProbeOutcomes {
  private readonly last = new Map<string, number | null>();

  /** Whether the path is that of a health check whose last answer had the same status. */
  isRepeated(path: string | null, status: number | null): boolean {
    return path !== null && this.last.get(path) === status;
  }

  record(path: string | null, status: number | null): void {
    if (path !== null && PROBES.has(path)) this.last.set(path, status);
  }
}
