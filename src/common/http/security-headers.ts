import type { RequestHandler } from 'express';
import helmet from 'helmet';

/**
 * Responses of the API are data: a browser that opens a response may load, run and frame nothing.
 */
const forData: RequestHandler = (_request, response, next) => {
  // The two of helmet's headers that matter for data; the others would only cost time on each
  // request.
  response.setHeader('Content-Security-Policy', "default-src 'none';frame-ancestors 'none'");
  response.setHeader('X-Content-Type-Options', 'nosniff');
  next();
};

/**
 * A page loads scripts and styles of this server alone, none of them inline, and calls no other
 * server. The icons of Swagger UI are `data:` URLs.
 */
const forPages = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  xFrameOptions: { action: 'deny' },
  // One page must not decide for its whole domain: the proxy that terminates TLS should send this
  // field.
  strictTransportSecurity: false,
});

/**
 * Sets the headers that tell browsers what a response may do; `pages` and the files below them may
 * do more than data.
 */
export const securityHeaders =
  (pages: readonly string[]): RequestHandler =>
  (request, response, next) => {
    const { path } = request;
    const isOfPage = pages.some((page) => path === page || path.startsWith(`${page}/`));
    (isOfPage ? forPages : forData)(request, response, next);
  };
