import { Inject } from '@nestjs/common';

/** Injection token of the `DataSource` that was chosen in `UsersApiModule.forRoot`. */
export const DATABASE = Symbol('data source of the users API');

export const InjectDatabase = (): ParameterDecorator => Inject(DATABASE);
