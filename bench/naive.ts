/* The second reference: the same route, written as in the tutorials of NestJS and TypeORM. */
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import {
  Body,
  type CanActivate,
  ClassSerializerInterceptor,
  Controller,
  type ExecutionContext,
  Get,
  Injectable,
  Module,
  NotFoundException,
  Patch,
  Req,
  UnauthorizedException,
  UseGuards,
  UseInterceptors,
  ValidationPipe,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { Exclude } from 'class-transformer';
import { IsOptional, IsString, MaxLength } from 'class-validator';
import type { Request } from 'express';
import { Column, Entity, JoinColumn, ManyToOne, PrimaryGeneratedColumn, Repository, UpdateDateColumn } from 'typeorm';

@Entity('users')
class User {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column({ type: 'timestamptz' })
  created_at!: Date;

  @UpdateDateColumn({ type: 'timestamptz' })
  updated_at!: Date;

  @Exclude()
  @Column({ type: 'bigint' })
  version!: string;

  @Column({ type: 'varchar' })
  status!: string;

  @Exclude()
  @Column({ type: 'boolean' })
  is_admin!: boolean;

  @Column({ type: 'varchar' })
  name!: string;

  @Column({ type: 'varchar' })
  email!: string;

  @Column({ type: 'bigint' })
  credits_balance!: string;
}

@Entity('api_keys')
class ApiKey {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column({ type: 'bytea' })
  secret_digest!: Buffer;

  @Column({ type: 'timestamptz', nullable: true })
  revoked_at!: Date | null;

  @Column({ type: 'timestamptz' })
  expires_at!: Date;

  @ManyToOne(() => User)
  @JoinColumn({ name: 'user_id' })
  user!: User;
}

class UpdateUserDto {
  @IsOptional()
  @IsString()
  @MaxLength(255)
  name?: string;
}

interface WithUser extends Request {
  user?: User;
}

@Injectable()
class KeyGuard implements CanActivate {
  constructor(@InjectRepository(ApiKey) private readonly keys: Repository<ApiKey>) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<WithUser>();
    const secret_digest = createHash('sha256')
      .update(request.header('x-api-key') ?? '')
      .digest();
    const key = await this.keys.findOne({ where: { secret_digest }, relations: { user: true } });
    if (!key || key.revoked_at || key.expires_at < new Date() || key.user.status !== 'ACTIVE') {
      throw new UnauthorizedException();
    }
    request.user = key.user;
    return true;
  }
}

@Controller('v1/users/me')
@UseGuards(KeyGuard)
@UseInterceptors(ClassSerializerInterceptor)
class UsersController {
  constructor(@InjectRepository(User) private readonly users: Repository<User>) {}

  @Get()
  async read(@Req() request: WithUser): Promise<User> {
    return this.find(request.user?.id ?? '');
  }

  @Patch()
  async update(@Req() request: WithUser, @Body() changes: UpdateUserDto): Promise<User> {
    const user = await this.find(request.user?.id ?? '');
    Object.assign(user, changes);
    return this.users.save(user);
  }

  private async find(id: string): Promise<User> {
    const user = await this.users.findOne({ where: { id } });
    if (!user) throw new NotFoundException();
    return user;
  }
}

@Module({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url: process.env.DATABASE_URL ?? '', entities: [User, ApiKey] }),
    TypeOrmModule.forFeature([User, ApiKey]),
  ],
  controllers: [UsersController],
})
class NaiveModule {}

const app = await NestFactory.create(NaiveModule, { logger: false });
app.useGlobalPipes(new ValidationPipe({ whitelist: true, transform: true }));
await app.listen(Number(process.env.PORT), '127.0.0.1');
console.log(`Listening on ${await app.getUrl()}`);
