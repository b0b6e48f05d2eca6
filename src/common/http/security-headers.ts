import type { RequestHandler } from 'express';
import helmet from 'helmet';

/** Responses of the API are data: a browser that opens one may load, run and frame nothing. */
const forData: RequestHandler = (_request, response, next) => {
  // The two of helmet's headers that matter for data; the others would only cost time on each
  // request.
  response.setHeader('Content-Security-Policy', "default-src 'none';frame-ancestors 'none'");
  response.setHeader('X-Content-Type-Options', 'nosniff');
  next();
};

/**
 * The documentation page loads scripts and styles of this server alone, none of them inline, and
 * calls no other server. The icons of Swagger UI are `data:` URLs.
 */
const forDocs = helmet({
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
  // One page must not decide for its whole domain: this field is for the proxy that ends TLS.
  strictTransportSecurity: false,
});

/**
 * Sets the headers that tell browsers what a response may do; the page at `docs` may do more than
 * data.
 */
export const securityHeaders =
  (docs: string): RequestHandler =>
  (request, response, next) => {
    (request.path === docs || request.path.startsWith(`${docs}/`) ? forDocs : forData)(request, response, next);
  };
