import { applyDecorators, type Type as Class } from '@nestjs/common';
import { Type } from 'class-transformer';
import { IsObject, ValidateNested } from 'class-validator';

/**
 * The field is an object, which is checked against the request class that is also its declared
 * type.
 */
export const IsObjectOf = (type: () => Class): PropertyDecorator =>
  applyDecorators(Type(type), ValidateNested(), IsObject({ message: '$property must be an object' }));
