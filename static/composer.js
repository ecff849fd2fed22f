// The composer: what is typed is sent once, or kept.
import { $, desktop, on, touch } from './dom.js';
import { toQuestion } from './scroll.js';

const UNREACHABLE = 'The server could not be reached. Your text is kept.';
const BUSY = 'An answer is still running. Your text is kept: send it when the answer is done, or stop it.';
const complain = (text) => { $('#composer-error').textContent = text; };

on('keydown', (event) => {
  if (event.isComposing || event.keyCode === 229) return; // Enter and Esc belong to the input method
  const { key, target } = event;
  const stop = $('#composer-actions .stop');
  if (key === 'Escape' && stop && !event.defaultPrevented && !$('dialog[open], :popover-open')) stop.click();
  if (key !== 'Enter' || !target.matches('#prompt, .editor textarea')) return;
  if (event.shiftKey || (touch.matches && !event.ctrlKey && !event.metaKey)) return;
  event.preventDefault();
  if (!target.value.trim()) return;
  if (target.id === 'prompt' && stop) return complain(BUSY);
  target.form.requestSubmit();
});

// The draft of each chat. Written while typing, not only when the page goes: a phone may end it without a word.
const draft = () => `draft:${location.pathname.split('/')[2] || 'new'}`;
let pending = 0;
function keep(key, text) {
  clearTimeout(pending);
  pending = 0;
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  } catch { /* no storage, or a full one: the text is still in the box */ }
}
const keepNow = () => pending && keep(draft(), $('#prompt').value);
on('input', ({ target }) => { if (target.id === 'prompt') pending ||= setTimeout(keepNow, 400); });
addEventListener('pagehide', keepNow);
on('visibilitychange', () => document.hidden && keepNow());
try { $('#prompt').value ||= localStorage.getItem(draft()) ?? ''; } catch { /* no storage */ }

// Every answer of our server to a form carries a partial. What has none came from something in between.
const isSend = (ctx) => ctx?.sourceElement.id === 'composer';
const isForm = (ctx) => isSend(ctx) || ctx?.sourceElement.matches('#composer *, #options *, #again form, #transcript form');
on('htmx:config:request', ({ detail: { ctx } }) => {
  if (isForm(ctx)) complain('');
  if (isSend(ctx)) [ctx.sent, ctx.draft] = [$('#prompt').value, draft()];
});
on('htmx:error', ({ detail: { ctx } }) => isForm(ctx) && complain(UNREACHABLE));
on('htmx:before:swap', ({ detail: { ctx, tasks } }) => {
  const foreign = !tasks.some((task) => task.type === 'partial');
  if (foreign && isForm(ctx) && (ctx.response.status !== 204)) complain(UNREACHABLE);
  if (isSend(ctx) && tasks.some((task) => task.target === ctx.sourceElement)) {
    const text = $('#prompt').value; // what was typed while the question was on its way is the next one
    ctx.rest = text.startsWith(ctx.sent) ? text.slice(ctx.sent.length) : text;
  }
});
on('htmx:after:swap', ({ detail: { ctx } }) => {
  if ($('#composer-error').textContent === BUSY && !$('#composer-actions .stop')) complain('');
  if (ctx.rest === undefined) return;
  keep(ctx.draft, '');
  if (ctx.rest) keep(draft(), $('#prompt').value = ctx.rest);
  if (desktop.matches) $('#prompt').focus({ preventScroll: true }); // on touch it would open the keyboard
  toQuestion();
});
if (desktop.matches) $('#prompt').focus({ preventScroll: true });
