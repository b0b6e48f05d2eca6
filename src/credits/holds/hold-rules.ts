/** A week, in seconds. */
export const MAX_HOLD_SECONDS = 7 * 24 * 60 * 60;

export const DEFAULT_HOLD_SECONDS = 15 * 60;

export const isHoldDuration = (seconds: unknown): seconds is number =>
  Number.isSafeInteger(seconds) && Number(seconds) >= 1 && Number(seconds) <= MAX_HOLD_SECONDS;
