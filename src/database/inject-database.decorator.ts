import { Inject } from '@nestjs/common';

/** The token of the `DataSource` that our modules work on: the one that `UsersApiModule` was told. */
export const DATABASE = Symbol('data source of the users API');

export const InjectDatabase = (): ParameterDecorator => Inject(DATABASE);
