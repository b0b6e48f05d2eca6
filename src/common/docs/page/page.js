/*
 * The script of the page at /docs: replaces the outline by Swagger UI, with the document that the
 * page contains. Served without a build step.
 */

const spec = JSON.parse(document.getElementById('document').textContent);
// Requests are relative to the page, which a proxy may serve below a prefix.
spec.servers = [{ url: new URL('.', location.href).pathname.replace(/(?<=.)\/$/, '') }];

const darkScheme = matchMedia('(prefers-color-scheme: dark)');
const followScheme = () => document.documentElement.classList.toggle('dark-mode', darkScheme.matches);
darkScheme.addEventListener('change', followScheme);
followScheme();

/** Whether an operation has every word of a search in its method, path, summary, id or tag. */
const isFound = (operation, tag, words) => {
  const texts = [tag, operation.get('method'), operation.get('path')];
  for (const key of ['summary', 'operationId']) texts.push(operation.getIn(['operation', key], ''));
  const text = texts.join(' ').toLowerCase();
  return words.every((word) => text.includes(word));
};

/** A search for operations: Swagger UI's own filter finds only tags. */
const search = ({ React: { createElement } }) => ({
  fn: {
    opsFilter: (tags, phrase) => {
      const words = phrase.toLowerCase().split(/\s+/);
      return tags
        .map((tag, name) => tag.update('operations', (all) => all.filter((each) => isFound(each, name, words))))
        .filter((tag) => tag.get('operations').size > 0);
    },
  },
  components: {
    FilterContainer: ({ layoutActions, layoutSelectors }) => {
      const phrase = layoutSelectors.currentFilter();
      return createElement(
        'div',
        { className: 'wrapper search', role: 'search' },
        createElement('input', {
          type: 'search',
          'aria-label': 'Find an operation by its path or summary',
          placeholder: 'Find an operation by its path or summary',
          value: typeof phrase === 'string' ? phrase : '',
          onChange: ({ target }) => layoutActions.updateFilter(target.value || true), // false would remove the field
        }),
      );
    },
  },
  wrapComponents: {
    operations: (Operations) => (props) =>
      props.specSelectors.taggedOperations().size > 0
        ? createElement(Operations, props)
        : createElement('p', { className: 'not-found', role: 'status' }, 'No operation matches the search.'),
  },
});

/**
 * Puts the links to the operations next to the buttons that open them; Swagger UI puts the links
 * inside the buttons.
 */
const permalinks = ({ React: { createElement, Fragment } }) => ({
  components: {
    OperationSummaryPath: ({ operationProps }) =>
      createElement(
        'span',
        { className: 'opblock-summary-path' },
        operationProps.get('path').replaceAll('/', '\u200b/'),
      ),
    ServersContainer: () => null, // there is one server
  },
  wrapComponents: {
    OperationSummary: (Summary) => (props) => {
      const [tag, id] = ['tag', 'operationId'].map((key) => props.operationProps.get(key));
      return createElement(
        Fragment,
        null,
        createElement(Summary, props),
        createElement(
          'a',
          { className: 'permalink', href: `#/${encodeURIComponent(tag)}/${id}`, 'aria-label': `Link to ${id}` },
          '#',
        ),
      );
    },
  },
});

/**
 * Accessible names for elements to which Swagger UI gives none, or one that lacks their visible
 * text.
 */
const NAMES = [
  ['.close-modal', () => 'Close'],
  ['[aria-label="Apply credentials"]', () => 'Authorize: apply credentials'],
  ['[aria-label="Remove authorization"]', () => 'Logout: remove authorization'],
  ['tr[data-param-name] :is(input, select, textarea)', (element) => element.closest('tr').dataset.paramName],
  ['.examples-select-element', () => 'Example'],
  ['select.content-type', () => 'Media type'],
];

const nameElements = () => {
  for (const [selector, nameOf] of NAMES)
    for (const element of document.querySelectorAll(`#page ${selector}`))
      if (element.ariaLabel !== nameOf(element)) element.ariaLabel = nameOf(element);
};

if (typeof SwaggerUIBundle === 'undefined') {
  document.getElementById('status').textContent = 'A part of this page could not be loaded. Load the page again.';
} else {
  new MutationObserver(nameElements).observe(document.getElementById('page'), { childList: true, subtree: true });
  const { layoutActions } = SwaggerUIBundle({
    spec,
    dom_id: '#page',
    plugins: [search, permalinks],
    deepLinking: true,
    filter: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
  // Swagger UI reads the fragment of the URL only when it is loaded.
  window.addEventListener('hashchange', () => layoutActions.parseDeepLinkHash(location.hash));
}
