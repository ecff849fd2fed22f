// Formulas, drawn once they will not change any more.
import { STREAM, $, on } from './dom.js';

const looked = new WeakSet(); // parts of a growing answer: no event searches all of it

function draw(places = [document]) {
  const growing = '[aria-busy="true"] > [data-part="body"] > :last-child > :last-child';
  const found = places
    .flatMap((place) => [...place.querySelectorAll('.math:not([data-drawn])')])
    .filter((math) => !math.closest(growing));
  if (found.length) import('./math.js').then((math) => math.draw(found));
}
on('htmx:after:swap', ({ detail: { ctx } }) => {
  if (!ctx.sourceElement?.isConnected || !ctx.sourceElement.matches(STREAM)) return draw();
  const parts = [...$('#transcript').lastElementChild.querySelector('[data-part="body"]').children];
  const fresh = parts.filter((part) => !looked.has(part));
  draw(fresh);
  for (const part of fresh.slice(0, -2)) looked.add(part);
});
draw();
