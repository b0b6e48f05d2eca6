import type { RequestHandler } from 'express';
import helmet from 'helmet';

/** An answer of the API is data: a browser that is made to open one shall load, run and frame nothing. */
const forData: RequestHandler = (_request, response, next) => {
  // All that matters of helmet's dozen for what is not a page; the request path has no time for the others.
  response.setHeader('Content-Security-Policy', "default-src 'none';frame-ancestors 'none'");
  response.setHeader('X-Content-Type-Options', 'nosniff');
  next();
};

/**
 * Swagger UI runs scripts of ours alone and talks to us alone. It writes `style` elements and attributes and draws icons
 * from `data:` URLs, so styles may stand inline; scripts may not.
 */
const forDocs = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  xFrameOptions: { action: 'deny' },
});

/** Header fields that tell browsers what an answer may do; the page at `docs` may do more than data may. */
export const securityHeaders =
  (docs: string): RequestHandler =>
  (request, response, next) => {
    (request.path === docs || request.path.startsWith(`${docs}/`) ? forDocs : forData)(request, response, next);
  };
