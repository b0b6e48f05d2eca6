import type { Type } from '@nestjs/common';
import {
  GUARDS_METADATA,
  HTTP_CODE_METADATA,
  METHOD_METADATA,
  PATH_METADATA,
  ROUTE_ARGS_METADATA,
} from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { MetadataScanner, ModulesContainer } from '@nestjs/core';
import type { OpenAPIObject } from '@nestjs/swagger';
import { Declared, type OperationDeclaration } from '../src/api-keys/operation.decorator.js';
import { STATUS_OF } from '../src/common/errors/domain.error.js';
import { useTestApp } from './support/app.js';

interface Route {
  readonly controller: Type;
  readonly name: string;
  readonly handler: object;
  readonly declaration: OperationDeclaration | undefined;
}

type Arguments = Readonly<Record<string, { readonly index: number; readonly data?: string }>>;
type Guard = Type | object;

const metadata = (key: string, of: object): unknown => Reflect.getMetadata(key, of) as unknown;

/** The guards of a request, in the order in which they run. */
const guardsOf = ({ controller, handler }: Route): string[] =>
  [controller, handler]
    .flatMap((part) => (metadata(GUARDS_METADATA, part) ?? []) as Guard[])
    .map((guard) => (typeof guard === 'function' ? guard.name : guard.constructor.name));

const CALLER = {
  anyone: [],
  user: ['ApiKeyGuard'],
  administrator: ['ApiKeyGuard', 'AdministratorGuard'],
  service: ['UncountedApiKeyGuard', 'AdministratorGuard'],
  forwarded: ['ForwardedApiKeyGuard'],
};

const impliedGuards = ({
  params,
  access,
  scope,
  administratorQuery,
  query,
  body,
  bodyScope,
}: OperationDeclaration): string[] => [
  ...(params ? ['PathParametersGuard'] : []),
  ...CALLER[access],
  ...(scope === null ? [] : ['ScopeGuard']),
  ...(administratorQuery ? ['AdministratorQueryGuard'] : []),
  ...(query ? ['QueryGuard'] : []),
  ...(administratorQuery ? ['QueryScopeGuard'] : []),
  ...(body ? ['JsonBodyGuard'] : []),
  ...(bodyScope ? ['BodyScopeGuard'] : []),
];

function impliedStatuses(declaration: OperationDeclaration): Set<number> {
  const { access, scope, query, body, params, condition, status = 200, repeat, fails = [] } = declaration;
  return new Set([
    status,
    ...(repeat ? [repeat.status] : []),
    ...(access === 'anyone' ? [] : [401, 500, 503]),
    ...(access === 'anyone' || access === 'service' ? [] : [429]),
    ...(scope === null ? [] : [403]),
    ...(params ? [404] : []),
    ...(query ? [400] : []),
    ...(body ? [400, 413, 415] : []),
    ...(condition ? [condition.status] : []),
    ...fails.map((kind) => STATUS_OF[kind]),
  ]);
}

/** The types of a handler's parameters of one kind, such as `@Body()`. */
function parametersOf({ controller, name }: Route, kind: RouteParamtypes): { type: unknown; data?: string }[] {
  const types = Reflect.getMetadata('design:paramtypes', controller.prototype as object, name) as unknown[];
  const all = (Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, name) ?? {}) as Arguments;
  return Object.entries(all)
    .filter(([key]) => key.startsWith(`${String(kind)}:`))
    .map(([, { index, data }]) => ({ type: types[index], ...(data !== undefined && { data }) }));
}

const declaredType = (type: Type | undefined) => (type ? [{ type }] : []);

describe('Every route', () => {
  const app = useTestApp();

  const routes = (): Route[] =>
    [...app.nest.get(ModulesContainer).values()]
      .flatMap(({ controllers }) => [...controllers.values()].map(({ metatype }) => metatype as Type))
      .flatMap((controller) => {
        const prototype = controller.prototype as Record<string, object>;
        return new MetadataScanner()
          .getAllMethodNames(prototype)
          .map((name) => ({ controller, name, handler: prototype[name] ?? {} }))
          .filter(({ handler }) => metadata(METHOD_METADATA, handler) !== undefined)
          .map((route) => ({
            ...route,
            declaration: metadata(Declared.KEY, route.handler) as OperationDeclaration | undefined,
          }));
      });
  /** The routes with a declaration: the first test fails for the others. */
  const declared = () =>
    routes().flatMap(({ declaration, ...route }) => (declaration ? [{ ...route, declaration }] : []));

  it('has a declaration by @Operation, of which the document has one operation each', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as OpenAPIObject;
    const documented = Object.values(paths).flatMap((methods) =>
      Object.values(methods as Record<string, { operationId: string }>).map(({ operationId }) => operationId),
    );

    expect(routes().filter(({ declaration }) => !declaration)).toEqual([]);
    expect(
      routes()
        .map(({ declaration }) => declaration?.id)
        .sort(),
    ).toEqual(documented.sort());
  });

  it('runs the checks that its declaration implies, and no others, in the order of the contract', () => {
    expect(declared().map((route) => [route.declaration.id, guardsOf(route)])).toEqual(
      declared().map(({ declaration }) => [declaration.id, impliedGuards(declaration)]),
    );
  });

  it('documents the responses that its declaration implies, and no others', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as OpenAPIObject;
    const documented = Object.values(paths).flatMap((methods) =>
      Object.values(methods as Record<string, { operationId: string; responses: object }>).map(
        ({ operationId, responses }): [string, number[]] => [operationId, Object.keys(responses).map(Number)],
      ),
    );

    expect(Object.fromEntries(documented)).toEqual(
      Object.fromEntries(
        declared().map(({ declaration }) => [
          declaration.id,
          [...impliedStatuses(declaration)].sort((one, other) => one - other),
        ]),
      ),
    );
  });

  it('names in `fails` only what no check implies', () => {
    const redundant = declared().filter(({ declaration }) => {
      const { fails = [], ...rest } = declaration;
      return fails.some((kind) => impliedStatuses(rest).has(STATUS_OF[kind]));
    });

    expect(redundant.map(({ declaration }) => declaration.id)).toEqual([]);
  });

  it('hands its handler exactly what it checks', () => {
    for (const route of declared()) {
      const { id, body, query, params = {}, status = 200 } = route.declaration;
      const path = [route.controller, route.handler].map((part) => metadata(PATH_METADATA, part)).join('/');

      expect([id, parametersOf(route, RouteParamtypes.BODY)]).toEqual([id, declaredType(body)]);
      expect([id, parametersOf(route, RouteParamtypes.QUERY)]).toEqual([id, declaredType(query)]);
      expect([id, new Set(parametersOf(route, RouteParamtypes.PARAM).map(({ data }) => data))]).toEqual([
        id,
        new Set(Object.keys(params)),
      ]);
      expect([id, Array.from(path.matchAll(/:(\w+)/g), ([, name]) => name)]).toEqual([id, Object.keys(params)]);
      expect([id, metadata(HTTP_CODE_METADATA, route.handler)]).toEqual([id, status]);
    }
  });
});
