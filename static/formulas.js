// Formulas, drawn once they will not change any more.
import { on } from './dom.js';

function drawMath() {
  const growing = '[aria-busy="true"] > [data-part="body"] > :last-child';
  const found = [...document.querySelectorAll('.math:not([data-drawn])')].filter((math) => !math.closest(growing));
  if (found.length) import('./math.js').then(({ draw }) => draw(found));
}
on('htmx:after:swap', drawMath);
drawMath();
