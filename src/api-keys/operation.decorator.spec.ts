import { Get } from '@nestjs/common';
import { ApiController, Operation } from './operation.decorator.js';

class Name {
  readonly name!: string;
}

const NAMED = {
  id: 'getName',
  summary: 'Read',
  details: 'Reads.',
  description: 'The name',
  access: 'user',
  scope: null,
} as const;

describe('ApiController', () => {
  it('refuses a controller with a route that has no @Operation', () => {
    class OpenController {
      @Operation(NAMED)
      @Get('closed')
      closed(): void {
        return;
      }

      @Get('open')
      open(): void {
        return;
      }

      /** Not a route. */
      helper(): void {
        return;
      }
    }

    expect(() => {
      ApiController('open')(OpenController);
    }).toThrow('OpenController.open needs @Operation');
  });
});

describe('Operation', () => {
  it('does not compile on a handler with another return type', () => {
    class NamesController {
      @Operation({ ...NAMED, returns: Name })
      named(): Promise<Name> {
        return Promise.resolve({ name: 'Ada' });
      }

      // @ts-expect-error without `returns`, the handler returns nothing
      @Operation(NAMED)
      unexpected(): Promise<Name> {
        return Promise.resolve({ name: 'Ada' });
      }

      // @ts-expect-error a number is not a `Name`
      @Operation({ ...NAMED, returns: Name })
      other(): number {
        return 1;
      }

      // @ts-expect-error the check of the body documents this failure
      @Operation({ ...NAMED, fails: ['invalid'] })
      copied(): void {
        return;
      }
    }

    expect(NamesController.name).toBe('NamesController');
  });

  it('refuses two patterns for one path parameter, since known paths are determined by its name', () => {
    const documented = { description: 'Any', example: '1', schema: { pattern: '^.+$', maxLength: 10 } };
    const declare = (pattern: RegExp) =>
      Operation({ ...NAMED, params: { operation_spec_id: { pattern, ...documented } } });
    const digits = /^\d+$/;

    declare(digits);

    expect(() => declare(digits)).not.toThrow();
    expect(() => declare(/^[a-z]+$/)).toThrow('The path parameter operation_spec_id has two patterns');
  });
});
