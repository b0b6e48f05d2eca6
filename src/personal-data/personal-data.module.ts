import { Module } from '@nestjs/common';
import { PersonalDataService } from './personal-data.service.js';

/** Hands over and erases what is stored about a user. Only the command line uses it. */
@Module({ providers: [PersonalDataService], exports: [PersonalDataService] })
export class PersonalDataModule {}
