import { register } from 'node:module';

/* Preloaded into a program: sends it SIGNAL when it imports the package that SIGNAL_AT names. */

const hooks = `
export async function resolve(specifier, context, next) {
  if (specifier === process.env.SIGNAL_AT) process.kill(process.pid, process.env.SIGNAL);
  return next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
