import { applyDecorators, Controller, UseFilters, VERSION_NEUTRAL } from '@nestjs/common';
import { ApiFailures } from '../docs/documented.decorator.js';
import { ErrorFilter } from '../errors/error.filter.js';

/**
 * A controller of version 1 of the API, with the same error responses in every application. The version is part of the
 * path, so that it does not depend on how the application versions its own routes.
 */
export const ApiController = (path: string): ClassDecorator =>
  applyDecorators(
    Controller({ path: `v1/${path}`, version: VERSION_NEUTRAL }),
    UseFilters(ErrorFilter),
    ApiFailures('internal'),
  );
