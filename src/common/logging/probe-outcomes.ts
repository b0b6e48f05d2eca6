import { PROBES } from '../http/probes.js';

/**
 * The last response to each health check: a response that repeats the one before is logged only at
 * level `debug`.
 */
export class ProbeOutcomes {
  private readonly last = new Map<string, number | null>();

  /** Whether the path is that of a health check whose last response had the same status. */
  isRepeated(path: string | null, status: number | null): boolean {
    return path !== null && this.last.get(path) === status;
  }

  record(path: string | null, status: number | null): void {
    if (path !== null && PROBES.has(path)) this.last.set(path, status);
  }
}
