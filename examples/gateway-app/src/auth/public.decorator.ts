import { type CustomDecorator, SetMetadata } from '@nestjs/common';

export const IS_PUBLIC = 'isPublic';

/** Exempts a class or a handler from `JwtGuard`. */
export const Public = (): CustomDecorator => SetMetadata(IS_PUBLIC, true);
