/* The page for operators: key entry, search, and routing to a user. */
import { call, forgetKey, isPossibleKey, useKey } from './api.js';
import { html, nothing, render } from './lit-html.js';
import { hasUnsettledCredits, userPage, UserView } from './user.js';
import { announce, badge, drawWith, failure, focus, listed, Listing, NOTHING_YET, number, update } from './view.js';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ADDRESS = /^[^@\s]+@[^@\s]+\.[^@\s]+$/;
const KEY_PREFIX = /^[a-z][a-z0-9]{0,11}(?:_[a-z0-9]{1,8})?_[0-9A-Za-z]{5}$/;
/** Finds the first characters of a key in a text. The checksum may be missing. */
const KEY = /[a-z][a-z0-9]{0,11}(?:_[a-z0-9]{1,8})?_[0-9A-Za-z]{5}(?=[0-9A-Za-z]{38})/;

const READING_SCOPE = 'ua:users:read';

/** The key in use, its rights, and the names of users read with it; undefined when signed out. */
let session;
let signIn = {};
let search;
/** The user that is shown; undefined while the search is shown. */
let view;

const noSearch = () => ({ text: '', status: '', admins: false, listing: listingOf({}) });
const listingOf = (filters) => new Listing('users', { ...filters, items_per_page: 20 }, 20);

function signOut(error) {
  forgetKey();
  render(nothing, root); // also clears every field
  session = view = search = undefined;
  signIn = { error };
  update();
  focus('#key');
}

async function open(form) {
  const typed = form.elements.key.value.trim();
  if (signIn.isBusy) return;
  if (!isPossibleKey(typed)) {
    signIn = { error: new Error('A key has letters, digits and underscores only.') };
    update();
    return;
  }
  signIn = { isBusy: true };
  update();
  useKey(typed, () =>
    signOut(new Error('The key is refused (401): it is mistyped, revoked or expired, or its owner is inactive.')),
  );
  try {
    // The first call needs no scope; the second needs an administrator.
    const { data: key } = await call('api-keys/current');
    await call('users?items_per_page=1');
    form.reset();
    session = { key, names: new Map(), may: (scope) => key.scopes === null || key.scopes.includes(scope) };
  } catch (error) {
    if (error.status === 401) return; // the callback of `useKey` has signed out
    forgetKey();
    const hint = ` This page takes the key of an administrator, with the scope ${READING_SCOPE} or without scopes.`;
    signIn = { error: error.status === 403 ? new Error(error.message + hint) : error };
    update();
    focus('#key');
    return;
  }
  signIn = {};
  search = noSearch();
  route();
}

/** Shows the view that the fragment of the URL names. */
function route() {
  if (!session) return;
  const [, id] = /^#\/users\/([^/]+)$/.exec(location.hash) ?? [];
  view = id && UUID.test(id) ? new UserView(id.toLowerCase(), session) : undefined;
  render(nothing, root); // so that no field keeps text typed for another user
  update();
  scrollTo(0, 0);
  if (view) view.read();
  else search.listing.read();
  focus(view ? 'h1' : '#search');
}

async function find({ elements }) {
  // The secret of a key must not be in a URL: its first characters suffice to find the key.
  const [prefix] = KEY.exec(elements.text.value) ?? [];
  const text = (elements.text.value = prefix ?? elements.text.value.trim());
  search = { ...search, text, status: elements.status.value, admins: elements.admins.checked, hint: undefined };
  if (UUID.test(text)) {
    location.hash = `#/users/${text}`;
    return;
  }
  if (text !== '' && [...text].length < 3) {
    search.hint = 'Type three characters or more.';
    update();
    return;
  }
  const filters = { status: search.status, is_admin: search.admins ? 'true' : '' };
  const { listing } = await firstOf(text, filters);
  announce(
    listing.error
      ? ''
      : listing.rows.length === 0
        ? listing.hasMore
          ? NOTHING_YET
          : NOBODY
        : `${listing.rows.length}${listing.hasMore ? ' or more' : ''} found`,
  );
}

const NOBODY = 'No user was found.';

/**
 * Tries each meaning of a text: an address or the first characters of a key, then a part of a name.
 */
async function firstOf(text, filters) {
  const exact = ADDRESS.test(text) ? 'email' : KEY_PREFIX.test(text) ? 'api_key_prefix' : undefined;
  const current = search;
  for (const name of exact ? [exact, 'search'] : ['search']) {
    const before = current.listing;
    current.listing = listingOf({ ...filters, [name]: text });
    await current.listing.read();
    if (name === exact && current.listing.error?.status === 400) continue;
    // If the database has no index for the search, only the exact match counts.
    if (name === 'search' && exact && current.listing.error?.status === 400) current.listing = before;
    if (current.listing.rows.length > 0 || current.listing.error) break;
  }
  update();
  return current;
}

const signInPage = () => html`
  <main class="narrow">
    <h1>Users API console</h1>
    <form
      @submit=${(submission) => {
        submission.preventDefault();
        open(submission.target);
      }}
    >
      <label for="key">API key of an administrator</label>
      <input
        id="key"
        name="key"
        type="password"
        required
        autocomplete="off"
        autocapitalize="none"
        spellcheck="false"
        aria-describedby="key-text"
      />
      <p id="key-text" class="quiet">
        The key is held in the memory of this page only. It is stored nowhere, and is forgotten when the page is closed
        or loaded again.
      </p>
      <button class="main" ?disabled=${signIn.isBusy}>${signIn.isBusy ? 'Checking…' : 'Continue'}</button>
    </form>
    ${failure(signIn.error)}
  </main>
`;

const searchPage = () => html`
  <main>
    <h1 tabindex="-1">Users</h1>
    <form
      class="search"
      role="search"
      @submit=${(submission) => {
        submission.preventDefault();
        find(submission.target);
      }}
    >
      <label for="search">Name, e-mail address, id, or the first characters of a key</label>
      <input id="search" name="text" type="search" autocomplete="off" spellcheck="false" .value=${search.text} />
      <label>
        Status
        <select name="status">
          ${['', 'ACTIVE', 'INACTIVE'].map(
            (status) =>
              html`<option value=${status} ?selected=${status === search.status}>
                ${status === '' ? 'any' : status}
              </option>`,
          )}
        </select>
      </label>
      <label class="check"><input name="admins" type="checkbox" .checked=${search.admins} /> Administrators only</label>
      <button class="main">Find</button>
    </form>
    ${search.hint ? html`<p class="failure" role="alert">${search.hint}</p>` : nothing}
    ${listed(search.listing, userRow, { name: 'users', none: NOBODY })}
  </main>
`;

const userRow = (user) => html`
  <div class="split">
    <a href="#/users/${user.id}"><bdi>${user.name}</bdi></a>
    <span>${number(user.credits_balance)} <span class="quiet">credits</span></span>
  </div>
  <div class="split">
    <span class="quiet">${user.email}</span>
    <span>${user.is_admin ? badge('Administrator') : nothing} ${badge(user.status)}</span>
  </div>
`;

const header = ({ key }) => html`
  <header>
    <a class="home" href="#/">Users API console</a>
    <span class="quiet">key <b>${key.name}</b> <code>${key.prefix}</code>…</span>
    <button type="button" @click=${() => signOut()}>Forget the key</button>
  </header>
`;

drawWith(() => {
  const page = session ? html`${header(session)} ${view ? userPage(view) : searchPage()}${TIMES}` : signInPage();
  render(page, root);
});

const TIMES = html`<footer class="quiet">Times are UTC. All that this page shows and does is in the API.</footer>`;
const root = document.getElementById('page');
root.replaceChildren();

addEventListener('hashchange', route);
// A browser may keep a page after its user has left it, and show it again unchanged.
addEventListener('pagehide', () => signOut());
addEventListener('beforeunload', (leaving) => {
  if (hasUnsettledCredits()) leaving.preventDefault();
});
update();
focus('#key');
