import { Module } from '@nestjs/common';
import { PersonalDataService } from './personal-data.service.js';

/** Exports and erases the data of a user. Only the command line uses it. */
@Module({ providers: [PersonalDataService], exports: [PersonalDataService] })
export class PersonalDataModule {}
