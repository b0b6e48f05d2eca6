/* A user: its profile, balance, keys and audit trail. */
import { call, CallError } from './api.js';
import { balanceCurve } from './balance-curve.js';
import { html, nothing } from './lit-html.js';
import { announce, badge, distance, failure, focus, listed, Listing, number, time, update } from './view.js';

/**
 * Additions of credits, by the id of the user: `isBusy` while a request is in flight, `attempt`
 * until its outcome is known, and the outcome of the last attempt. Kept when the view or the key
 * changes, because only the same transaction id makes a retry safe.
 */
const additions = new Map();

export const hasUnsettledCredits = () => [...additions.values()].some(({ attempt }) => attempt);

/** The view that was opened last. */
let latest;

/** Works in pages that were loaded without TLS, too, unlike `crypto.randomUUID`. */
const newTransactionId = () =>
  `console-${Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;

const shortened = (id) => html`<code title=${id}>${id.slice(0, 8)}…</code>`;

export class UserView {
  user = undefined;
  balance = undefined;
  error = undefined;
  turn = 0;
  /** The revocation that the open dialog shows. */
  revocation = undefined;
  /** The last revocation, after its dialog is closed. */
  closedRevocation = undefined;

  /** @param session the key that is used, and the names of users that have been read */
  constructor(id, session) {
    Object.assign(this, { id, session });
    latest = this;
    const addition = additions.get(id);
    if (!addition?.attempt) additions.set(id, {}); // discards messages of an earlier view
    const user = { user_id: id };
    this.keys = new Listing(`users/${id}/api-keys`, { items_per_page: 100 }, 10);
    this.entries = new Listing('billing/credit-history', { ...user, items_per_page: 100 }, 8);
    this.events = new Listing('audit-events', { ...user, items_per_page: 20 }, 10);
  }

  async read() {
    await Promise.all([this.readUser(), this.keys.read(), this.entries.read(), this.readEvents()]);
  }

  async readUser() {
    this.error = undefined;
    this.turn += 1;
    const { turn } = this;
    try {
      const [user, balance] = await Promise.all([call(`users/${this.id}`), call(`users/${this.id}/balance`)]);
      if (turn === this.turn) Object.assign(this, { user: user.data, balance: balance.data });
    } catch (error) {
      if (turn === this.turn) this.error = error;
    }
    update();
  }

  async readEvents() {
    await this.events.read();
    this.readActors();
  }

  /** Reads the names of the users who made the changes. */
  readActors() {
    const { names } = this.session;
    for (const { actor_user_id: id } of this.events.rows) {
      if (id === null || names.has(id)) continue;
      names.set(id, undefined);
      call(`users/${id}`).then(
        ({ data }) => {
          names.set(id, data.name);
          update();
        },
        () => undefined, // the id is shown instead
      );
    }
  }

  /** @returns the name of a key, as far as it is known, or else its id */
  keyName(id) {
    const key = [...this.keys.rows, this.session.key].find((each) => each.id === id);
    return key ? html`<b>${key.name}</b>` : shortened(id);
  }

  askForRevocation(key) {
    this.revocation = { key };
    update();
    document.getElementById('revocation').showModal();
  }

  async revoke() {
    const { revocation } = this;
    const { id, name } = revocation.key;
    const path = `users/${this.id}/api-keys/${name}`;
    Object.assign(revocation, { isBusy: true, error: undefined });
    this.closedRevocation = undefined;
    update();
    try {
      // The path contains the name, which may have passed to another key since the list was read.
      const { data } = await call(path);
      if (data.id !== id) throw new CallError(409, `${name} is now the name of another key. Load the page again.`);
      await call(path, { method: 'DELETE' });
    } catch (error) {
      Object.assign(revocation, { isBusy: false, error });
      update();
      return;
    }
    revocation.isBusy = false;
    if (this.revocation === revocation) document.getElementById('revocation')?.close();
    await Promise.all([this.keys.read(), this.readEvents()]);
    if (latest !== this) return;
    if (!this.revocation) focus('#keys-heading');
    announce(`The key ${name} is revoked.`);
  }

  async addCredits(form) {
    const addition = additions.get(this.id);
    if (addition.isBusy) return; // possibly started in another view of the user
    const fields = new FormData(form);
    addition.attempt ??= {
      isUndecided: false,
      body: {
        user_id: this.id,
        amount: Number(fields.get('amount')),
        transaction_type: fields.get('type'),
        transaction_id: newTransactionId(),
      },
    };
    const { attempt } = addition;
    Object.assign(addition, { isBusy: true, done: undefined, error: undefined });
    update();
    try {
      const { data, headers } = await call('billing/credits-add', { method: 'POST', body: attempt.body });
      const isRepeated = headers.get('idempotency-replayed') === 'true';
      const done = isRepeated ? 'An earlier attempt had added' : 'Added';
      addition.done = `${done} ${number(data.credits)} credits. The balance after that: ${number(data.balance_after)}.`;
      addition.attempt = undefined;
      form.reset();
    } catch (error) {
      attempt.isUndecided ||= error.isUndecided ?? true; // without a response of the API, the outcome is unknown
      if (!attempt.isUndecided) addition.attempt = undefined; // every attempt was refused
      addition.error = error;
    }
    addition.isBusy = false;
    update();
    if (addition.done && latest.id === this.id) await Promise.all([latest.readUser(), latest.entries.read()]);
  }

  abandonCredits() {
    additions.set(this.id, {});
    update();
    focus('#amount');
  }
}

/** The view of a user. */
export const userPage = (view) => html`
  <main>
    <p><a href="#/">← All users</a></p>
    <h1 tabindex="-1"><bdi>${view.user?.name ?? 'User'}</bdi></h1>
    ${failure(view.error, () => view.readUser())} ${view.user ? profile(view.user) : nothing}
    <div class="columns">
      <div>
        <section aria-labelledby="balance-heading">
          <h2 id="balance-heading">Credits</h2>
          ${view.balance ? balance(view.balance) : nothing}
          ${balanceCurve(view.entries.rows, view.entries.next === undefined)}
          ${view.session.may('ua:credits:add') ? additionForm(view) : lacking('ua:credits:add', 'add credits')}
          <h3>History</h3>
          ${listed(view.entries, (each) => entry(view, each), { name: 'entries', none: 'No credits have moved.' })}
        </section>
      </div>
      <div>
        <section aria-labelledby="keys-heading">
          <h2 id="keys-heading" tabindex="-1">API keys</h2>
          ${view.session.may('ua:users:keys:write') ? nothing : lacking('ua:users:keys:write', 'revoke keys')}
          ${failure(view.closedRevocation?.error)}
          ${listed(view.keys, (each) => keyCard(view, each), { name: 'keys', none: 'The user has no keys.' })}
        </section>
        <section aria-labelledby="events-heading">
          <h2 id="events-heading">Audit trail</h2>
          ${listed(view.events, (each) => event(view, each), { name: 'events', none: 'Nothing is recorded.' })}
        </section>
      </div>
    </div>
    ${view.revocation ? revocationDialog(view) : nothing}
  </main>
`;

const lacking = (scope, what) =>
  html`<p class="quiet">The key that you use does not have the scope <code>${scope}</code> to ${what}.</p>`;

const fact = (name, value) =>
  html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div>`;

const profile = (user) => html`
  <dl class="facts profile">
    ${fact('Address', user.email)} ${fact('Status', badge(user.status))}
    ${fact('Role', user.is_admin ? 'Administrator' : 'User')}
    ${fact('Rate limit', perMinute(user.rate_limit_per_minute, 'none of its own'))}
    ${fact('Created', time(user.created_at))} ${fact('Changed', time(user.updated_at))}
    ${fact('Id', html`<code>${user.id}</code>`)}
  </dl>
`;

const perMinute = (limit, none) => (limit === null ? none : `${number(limit)} a minute`);

const balance = ({ credits_balance, credits_held, credits_available }) => html`
  <dl class="facts figures">
    ${fact('Balance', number(credits_balance))} ${fact('Held', number(credits_held))}
    ${fact('Available', number(credits_available))}
  </dl>
`;

function additionForm(view) {
  const { attempt, isBusy = false, done, error } = additions.get(view.id);
  const submit = (submission) => {
    submission.preventDefault();
    view.addCredits(submission.target);
  };
  return html`
    <form class="addition" @submit=${submit}>
      <h3>Add credits</h3>
      <div class="fields">
        <label class="short">
          Amount
          <input
            id="amount"
            name="amount"
            required
            inputmode="numeric"
            autocomplete="off"
            pattern="[1-9][0-9]{0,15}"
            title="A whole number of 1 or more"
            ?disabled=${attempt !== undefined}
          />
        </label>
        <label>
          Type
          <input
            name="type"
            required
            value="MANUAL_ADJUSTMENT"
            autocomplete="off"
            pattern="[A-Z][A-Z0-9_]{0,31}"
            title="Capitals, digits and underscores, and a capital first"
            ?disabled=${attempt !== undefined}
          />
        </label>
        <button class="main" ?disabled=${isBusy}>${isBusy ? 'Adding…' : attempt ? 'Try again' : 'Add'}</button>
        ${
          attempt && !isBusy
            ? html`<button type="button" @click=${() => view.abandonCredits()}>Give up</button>`
            : nothing
        }
      </div>
      ${done ? html`<p class="done" role="status">${done}</p>` : nothing} ${failure(error)}
      ${attempt && !isBusy ? doubt(attempt.body) : nothing}
    </form>
  `;
}

/** Advice on credits that may have been added. */
const doubt = ({ amount, transaction_type, transaction_id }) => html`
  <p>
    It is not known whether the credits were added.
    <b>Try again</b> sends the same transaction (${number(amount)} credits, ${transaction_type},
    <code>${transaction_id}</code>), which is carried out once at most. The history shows it when it was.
  </p>
`;

const entry = (view, { credits, created_at, transaction_type, transaction_id, balance_after, api_key_id }) => html`
  <div class="split">
    <b>${transaction_type}</b>
    <b class=${credits < 0 ? 'spent' : 'added'}>${credits > 0 ? '+' : ''}${number(credits)}</b>
  </div>
  <div class="split quiet">
    <code>${transaction_id}</code>
    <span>balance ${number(balance_after)}</span>
  </div>
  <p class="quiet">
    ${time(created_at)} ${api_key_id === null ? nothing : html`for the key ${view.keyName(api_key_id)}`}
  </p>
`;

const keyCard = (view, key) => html`
  <div class="split">
    <span><b>${key.name}</b> <code>${key.prefix}</code>… ${badge(key.status)}</span>
    ${
      key.status === 'ACTIVE' && view.session.may('ua:users:keys:write')
        ? html`<button
            type="button"
            class="danger"
            aria-label="Revoke ${key.name}"
            @click=${() => view.askForRevocation(key)}
          >
            Revoke
          </button>`
        : nothing
    }
  </div>
  <dl class="facts">
    ${fact('Last used', key.last_used_at ? when(key.last_used_at) : 'never')} ${fact('Expires', when(key.expires_at))}
    ${fact('Created', time(key.created_at))}
    ${fact('Rate limit', key.rate_limit_per_minute === 0 ? 'none' : perMinute(key.rate_limit_per_minute, 'default'))}
    ${fact('Scopes', scopes(key.scopes))} ${fact('Id', html`<code>${key.id}</code>`)}
  </dl>
`;

const when = (instant) => html`${time(instant)} <span class="distance">${distance(instant)}</span>`;

function scopes(names) {
  if (names === null) return 'everything that its owner may do';
  return names.length === 0 ? 'none' : names.map((name) => html`<code>${name}</code> `);
}

const event = (view, { action, api_key_id, created_at, changes, request_id, ...actor }) => html`
  <div class="split">
    <span><b>${action}</b> ${api_key_id === null ? nothing : html`key ${view.keyName(api_key_id)}`}</span>
    <span class="quiet">${time(created_at)}</span>
  </div>
  <p>by ${actorOf(view, actor)}</p>
  ${Object.entries(changes).map(([field, change]) => changed(field, change, action.includes('.created')))}
  ${request_id === null ? nothing : html`<p class="quiet">request <code>${request_id}</code></p>`}
`;

/** @param isNew whether the object was created: then no earlier value is shown */
function changed(field, { before = null, after = null }, isNew) {
  if (isNew && after === null) return nothing;
  return html`<p class="change">
    <code>${field}</code> ${isNew ? nothing : html`${shown(before)} →`} ${shown(after)}
  </p>`;
}

const shown = (value) => html`<bdi>${typeof value === 'string' ? value : JSON.stringify(value)}</bdi>`;

function actorOf(view, { actor, actor_user_id, actor_key_id, actor_account }) {
  if (actor === 'COMMAND_LINE')
    return html`the command line${actor_account ? html`, account <b>${actor_account}</b>` : nothing}`;
  if (actor_user_id === null) return actor === 'APPLICATION' ? 'the application' : actor;
  const name = view.session.names.get(actor_user_id) ?? shortened(actor_user_id);
  return html`<a href="#/users/${actor_user_id}"><bdi>${name}</bdi></a
    >${actor_key_id === null ? nothing : html`, key ${view.keyName(actor_key_id)}`}`;
}

function revocationDialog(view) {
  const { key, isBusy = false, error } = view.revocation;
  const close = ({ target }) => target.closest('dialog').close();
  // A browser may close the dialog while the request is in flight: the outcome is shown above the
  // keys.
  const closed = () => {
    view.closedRevocation = view.revocation;
    view.revocation = undefined;
    update();
  };
  const cancelled = (event) => {
    if (isBusy) event.preventDefault();
  };
  return html`
    <dialog id="revocation" aria-labelledby="revocation-heading" @close=${closed} @cancel=${cancelled}>
      <h2 id="revocation-heading">Revoke the key ${key.name}?</h2>
      <p>
        <code>${key.prefix}</code>… of <bdi>${view.user?.name ?? view.id}</bdi> stops working with its next request, for
        good. ${key.id === view.session.key.id ? html`<b>It is the key that you use on this page.</b>` : nothing}
      </p>
      ${failure(error)}
      <div class="buttons">
        <button type="button" autofocus ?disabled=${isBusy} @click=${close}>Keep it</button>
        <button type="button" class="danger main" ?disabled=${isBusy} @click=${() => view.revoke()}>
          ${isBusy ? 'Revoking…' : 'Revoke the key'}
        </button>
      </div>
    </dialog>
  `;
}
