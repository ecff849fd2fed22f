// Formulas, drawn once they will not change any more.
import { STREAM, on } from './dom.js';

const LAST = 2; // parts of a growing answer in which a formula can be new

function drawMath(places = [document]) {
  const growing = '[aria-busy="true"] > [data-part="body"] > :last-child > :last-child';
  const found = places
    .flatMap((place) => [...place.querySelectorAll('.math:not([data-drawn])')])
    .filter((math) => !math.closest(growing));
  if (found.length) import('./math.js').then(({ draw }) => draw(found));
}

// An event of the stream must not cost a search of the whole page.
const lastParts = (body) => [...body.children].slice(-LAST);
const grown = new Set(); // bodies that an event changes
on('htmx:before:swap', ({ detail: { ctx, tasks } }) => {
  grown.clear();
  if (!ctx.sourceElement?.matches(STREAM)) return;
  for (const { target } of tasks) {
    const body = target?.closest?.('[data-part="body"]');
    if (body) grown.add(body);
    else if (target?.matches?.('article')) return grown.clear(); // its state: the answer has ended, perhaps
  }
});
on('htmx:after:swap', () => drawMath(grown.size ? [...grown].flatMap(lastParts) : [document]));
drawMath();
