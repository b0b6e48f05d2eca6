/*
 * Preloaded with `node --import` into a server whose clock is to be wrong, by CLOCK_SHIFT_MS. In
 * JavaScript, since Node.js loads it as it is.
 */
const shiftMs = Number(process.env.CLOCK_SHIFT_MS);
const trueNow = Date.now;
Date.now = () => trueNow() + shiftMs;
globalThis.Date = new Proxy(Date, {
  construct: (target, values, newTarget) =>
    Reflect.construct(target, values.length > 0 ? values : [target.now()], newTarget),
});
