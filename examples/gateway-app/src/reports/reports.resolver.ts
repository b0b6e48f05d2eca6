import { Field, ID, Int, ObjectType, Query, Resolver } from '@nestjs/graphql';
import { Administrators, Authenticated, CurrentUser, type Principal, UsersService } from '@users-api/server';
import { Public } from '../auth/public.decorator.js';

@ObjectType()
export class Owner {
  @Field(() => ID)
  readonly id!: string;

  @Field()
  readonly name!: string;

  @Field(() => Int)
  readonly credits!: number;
}

@Public()
@Resolver(() => Owner)
export class ReportsResolver {
  constructor(private readonly users: UsersService) {}

  @Authenticated()
  @Query(() => Owner)
  async owner(@CurrentUser() { userId }: Principal): Promise<Owner> {
    const { id, name, creditsBalance: credits } = await this.users.getById(userId);
    return { id, name, credits };
  }

  @Administrators()
  @Query(() => Int)
  reportCount(): number {
    return 0;
  }
}
