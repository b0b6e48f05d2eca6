import type { OpenAPIObject } from '@nestjs/swagger';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;
type Parameter = Exclude<NonNullable<Operation['parameters']>[number], { $ref: string }>;

/** The values in the template of the page, except for the fingerprints of its files. */
export const partsOf = (document: OpenAPIObject): ReadonlyMap<string, string> =>
  new Map([
    ['title', escaped(document.info.title)],
    ['description', escaped(document.info.description ?? '')],
    ['outline', outlineOf(document)],
    // In a script element, "<" could end it.
    ['document', JSON.stringify(withoutPrefilledParameters(document)).replaceAll('<', String.raw`\u003c`)],
  ]);

/** Lists the operations by tag, for display until the scripts have loaded. */
function outlineOf({ paths, tags = [] }: OpenAPIObject): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    operationsOf(methods).map(([method, operation]) => ({ path, method, ...operation })),
  );
  return tags
    .map(({ name }) => {
      const items = operations
        .filter((operation) => operation.tags?.includes(name))
        .map(
          ({ path, method, operationId = '', summary = '' }) =>
            `<li><a href="#/${encodeURIComponent(name)}/${operationId}"><b>${method.toUpperCase()}</b> ` +
            `<code>${escaped(path)}</code></a> ${escaped(summary)}</li>`,
        );
      return `<h2>${escaped(name)}</h2><ul>${items.join('')}</ul>`;
    })
    .join('');
}

/**
 * Moves the example of each parameter to its description. Swagger UI would fill the example in, and
 * a list that is requested without edits would be filtered by a date or an id that the reader did
 * not choose.
 */
function withoutPrefilledParameters(document: OpenAPIObject): OpenAPIObject {
  const copy = structuredClone(document);
  for (const [, { parameters = [] }] of Object.values(copy.paths).flatMap(operationsOf))
    for (const parameter of parameters as Parameter[]) {
      const schema = parameter.schema as { example?: unknown } | undefined;
      const example = (parameter.example ?? schema?.example) as string | number | undefined;
      delete parameter.example;
      delete parameter.examples;
      delete schema?.example;
      if (example !== undefined)
        parameter.description = [parameter.description, `Example: \`${String(example)}\``].filter(Boolean).join('. ');
    }
  return copy;
}

const operationsOf = (methods: object): [string, Operation][] =>
  Object.entries(methods).filter(
    (entry): entry is [string, Operation] =>
      typeof entry[1] === 'object' && entry[1] !== null && 'responses' in entry[1],
  );

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

const escaped = (text: string): string => text.replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? '');
