// Formulas as MathML. Loaded by formulas.js where a page holds some; without it they stay readable as TeX.
/* global temml */

const loaded = new Promise((resolve, reject) => {
  const script = document.createElement('script');
  script.src = new URL('vendor/temml-0.13.5.min.js', import.meta.url);
  script.onload = resolve;
  script.onerror = reject;
  document.head.append(script);
});

const DELIMITERS = /^(?:\$\$([^]*)\$\$|\\\[([^]*)\\\]|\$([^]*)\$|\\\(([^]*)\\\))$/;
// Much longer ones are no formulas, and would hold up the page.
const LONGEST = 4000;

export async function draw(elements) {
  await loaded;
  for (const element of elements) {
    if (element.dataset.drawn !== undefined || !element.isConnected) continue;
    const source = element.dataset.drawn = element.textContent;
    const found = source.trim().match(DELIMITERS);
    const tex = found?.slice(1).find((part) => part !== undefined);
    if (!tex || tex.length > LONGEST) continue;
    try {
      const limits = { throwOnError: true, maxExpand: 100, maxSize: [20, 20] };
      const options = { displayMode: element.matches('div'), annotate: true, ...limits };
      const drawn = document.createElement('span');
      temml.render(tex, drawn, options);
      element.replaceChildren(...drawn.childNodes);
    } catch { /* no formula after all: its source stays */ }
  }
}
