import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity('jobs')
export class Job {
  @PrimaryGeneratedColumn('uuid')
  readonly id!: string;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz' })
  readonly createdAt!: Date;

  @Column({ name: 'user_id', type: 'uuid' })
  readonly userId!: string;

  @Column('text')
  readonly prompt!: string;

  /** Credits. */
  @Column('int')
  readonly cost!: number;
}
