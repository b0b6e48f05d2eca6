/*
 * Shared parts of the views. A view is a function of the state: call `update` after each change of
 * the state.
 */
import { call, nextQuery, query } from './api.js';
import { html, nothing } from './lit-html.js';

let draw = () => undefined;

/** @param drawing renders the whole page */
export const drawWith = (drawing) => {
  draw = drawing;
};

/** Renders the page synchronously. */
export const update = () => draw();

/** Makes screen readers announce a text that is not about the focused element. */
export const announce = (text) => {
  document.getElementById('announcement').textContent = text;
};

export const focus = (selector) => document.querySelector(selector)?.focus();

export const number = (value) => value.toLocaleString('en').replace('-', '\u2212');

/** An instant in UTC, as in the log of the server. */
export const time = (instant) => html`<time datetime=${instant}>${instant.slice(0, 19).replace('T', ' ')}</time>`;

const UNITS = [
  ['year', 31_557_600],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];

const RELATIVE = new Intl.RelativeTimeFormat('en');

/** The time between an instant and now: "3 minutes ago", "in 5 days". */
export function distance(instant) {
  const seconds = (Date.parse(instant) - Date.now()) / 1000;
  const [unit, length] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? [];
  return unit ? RELATIVE.format(Math.trunc(seconds / length), unit) : 'now';
}

export const badge = (text) => html`<span class="badge ${text.toLowerCase()}">${text}</span>`;

/** @param again called when the reader tries again, which is offered only for temporary errors */
export const failure = (error, again) =>
  error
    ? html`<p class="failure" role="alert">
        ${error.message}
        ${error.isTemporary && again ? html`<button type="button" @click=${again}>Try again</button>` : nothing}
      </p>`
    : nothing;

/** Maximum number of pages read in succession if they have few rows, as those of a search may. */
const MAX_PAGES_AT_ONCE = 5;

/** The rows of a list that have been read so far. */
export class Listing {
  rows = [];
  error = undefined;
  isBusy = false;
  isRead = false;
  /** The query of the next page; undefined after the last one. */
  next;
  turn = 0;

  /** @param step how many rows are shown at first, and how many more each time */
  constructor(path, parameters, step) {
    Object.assign(this, { path, step, shown: step, first: query(parameters) });
  }

  get visible() {
    return this.rows.slice(0, this.shown);
  }

  get hasMore() {
    return this.shown < this.rows.length || this.next !== undefined;
  }

  /** Reads the list from its beginning, and shows as many rows as before. */
  read() {
    return this.continued([], this.first);
  }

  more() {
    this.shown += this.step;
    return this.continued(this.rows, this.next);
  }

  /** Reads the pages from `next` on until there are enough rows to show. */
  async continued(rows, next) {
    this.again = () => this.continued(rows, next);
    this.turn += 1;
    const { turn } = this;
    Object.assign(this, { isBusy: true, error: undefined });
    update();
    try {
      for (let pages = 0; pages < MAX_PAGES_AT_ONCE && next !== undefined && rows.length < this.shown; pages += 1) {
        const { data, headers } = await call(`${this.path}?${next}`);
        if (turn !== this.turn) return; // a newer read has started
        rows = [...rows, ...data.data];
        next = nextQuery(headers);
      }
      Object.assign(this, { rows, next, isRead: true });
    } catch (error) {
      if (turn !== this.turn) return;
      this.error = error;
    }
    this.isBusy = false;
    update();
  }
}

/** The text for an empty list whose next page may have rows. */
export const NOTHING_YET = 'Nothing found yet.';

/**
 * The rows of a list, with a button for more of them.
 *
 * @param options.none the text for a list without rows
 */
export function listed(listing, row, { name, none }) {
  const showMore = async () => {
    const before = listing.visible.length;
    await listing.more();
    const added = listing.visible.length - before;
    announce(`${added} more`);
    document.querySelectorAll(`#${name} > li`)[before]?.focus();
  };
  const isEmpty = listing.isRead && listing.rows.length === 0 && !listing.isBusy;
  return html`
    <ul id=${name} class="rows">
      ${listing.visible.map((each) => html`<li tabindex="-1">${row(each)}</li>`)}
    </ul>
    ${isEmpty ? html`<p class="quiet">${listing.next === undefined ? none : NOTHING_YET}</p>` : nothing}
    ${listing.isBusy && !listing.isRead ? html`<p class="quiet">Loading…</p>` : nothing}
    ${failure(listing.error, () => listing.again())}
    ${
      listing.isRead && listing.hasMore && !listing.error
        ? html`<button type="button" class="more" ?disabled=${listing.isBusy} @click=${showMore}>
            ${listing.isBusy ? 'Loading…' : 'Show more'}
          </button>`
        : nothing
    }
  `;
}
