import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type Tracer } from '@opentelemetry/api';
import { parseTraceParent } from '@opentelemetry/core';
import type { Request, RequestHandler } from 'express';
import { inSpans } from '../common/active-spans.js';
import { PROBES } from '../common/http/probes.js';

/**
 * Creates a span for every request, which continues the caller's trace if `traceparent` names one,
 * and adds the trace id to the log. Like the log, a span contains no text that a caller chooses
 * freely: no URL, no header, no body, not even `tracestate`.
 */
export const traceRequests =
  (tracer: Tracer): RequestHandler =>
  (request, response, next) => {
    if (PROBES.has(request.path)) {
      // their spans would only hide the others
      next();
      return;
    }
    const { method, secure } = request;
    const attributes = { 'http.request.method': method, 'url.scheme': secure ? 'https' : 'http' };
    const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, callerOf(request));
    request.traceId = span.spanContext().traceId;

    response.once('close', () => {
      const { path: route } = (request.route as { readonly path: string } | undefined) ?? {};
      if (route !== undefined) span.updateName(`${method} ${route}`).setAttribute('http.route', route);
      const { headersSent, statusCode: status } = response;
      if (headersSent) span.setAttribute('http.response.status_code', status);
      if (headersSent && status >= 500)
        span.setAttribute('error.type', String(status)).setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
    inSpans([span], next);
  };

/** The trace and span that the caller names (W3C Trace Context), or none. */
function callerOf({ headers: { traceparent } }: Request): Context {
  const caller = typeof traceparent === 'string' ? parseTraceParent(traceparent) : null;
  return caller ? trace.setSpanContext(ROOT_CONTEXT, { ...caller, isRemote: true }) : ROOT_CONTEXT;
}
