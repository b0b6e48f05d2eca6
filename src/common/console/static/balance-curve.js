/* The curve of a balance, from the entries of a credit history. */
import { html, nothing, svg } from './lit-html.js';
import { number, time } from './view.js';

const WIDTH = 600;
const HEIGHT = 140;

/**
 * The points at which a balance changed, oldest first, followed by the current balance.
 *
 * @param entries the newest first
 */
export function pointsOf(entries, now) {
  const [newest] = entries;
  const oldest = entries.at(-1);
  return [
    [Date.parse(oldest.created_at), oldest.balance_after - oldest.credits],
    ...entries.toReversed().map((entry) => [Date.parse(entry.created_at), entry.balance_after]),
    [Math.max(now, Date.parse(newest.created_at)), newest.balance_after],
  ];
}

/** The steps of a curve as an SVG path, from the left edge to the right one. */
export function pathOf(points, [lowest, highest]) {
  const [[start]] = points;
  const [end] = points.at(-1);
  const x = (instant) => Math.round(((instant - start) / Math.max(end - start, 1)) * WIDTH * 10) / 10;
  const y = (balance) => Math.round((1 - (balance - lowest) / Math.max(highest - lowest, 1)) * HEIGHT * 10) / 10;
  const steps = points.slice(1).map(([instant, balance]) => `H${x(instant)}V${y(balance)}`);
  return `M0 ${y(points[0][1])}${steps.join('')}`;
}

/** @param isWhole whether `entries` is the whole history */
export function balanceCurve(entries, isWhole) {
  if (entries.length === 0) return nothing;
  const points = pointsOf(entries, Date.now());
  const balances = points.map(([, balance]) => balance);
  const range = [Math.min(...balances), Math.max(...balances)];
  const [lowest, highest] = range.map(number);
  const oldest = entries.at(-1).created_at;
  const count = entries.length === 1 ? 'movement' : `${number(entries.length)} movements`;
  return html`
    <figure class="curve">
      <p class="levels" aria-hidden="true"><span>${highest}</span><span>${lowest}</span></p>
      <svg
        viewBox="-3 -4 ${WIDTH + 6} ${HEIGHT + 8}"
        preserveAspectRatio="none"
        role="img"
        aria-labelledby="curve-text"
      >
        ${[0, HEIGHT].map((y) => svg`<path class="grid" d="M0 ${y}H${WIDTH}" />`)}
        <path class="line" d=${pathOf(points, range)} />
      </svg>
      <p class="instants" aria-hidden="true"><span>${time(oldest)}</span><span>now</span></p>
      <figcaption id="curve-text">
        The balance over the ${isWhole || entries.length === 1 ? '' : 'newest '}${count} since ${time(oldest)}: lowest
        ${lowest}, highest ${highest}, now ${number(entries[0].balance_after)}.
      </figcaption>
    </figure>
  `;
}
