// The composer: what is typed is sent once, or kept.
import { $, desktop, on, touch } from './dom.js';
import { toEnd } from './scroll.js';

const UNREACHABLE = 'The server could not be reached. Your text is kept.';

on('keydown', (event) => {
  if (event.isComposing || event.keyCode === 229) return; // Enter and Esc belong to the input method
  const stop = $('#composer-actions .stop');
  if (event.key === 'Escape' && stop && !event.defaultPrevented && !$('dialog[open], :popover-open')) stop.click();
  if (event.key !== 'Enter' || event.target.id !== 'prompt' || event.shiftKey || touch.matches) return;
  event.preventDefault();
  if (!stop && event.target.value.trim()) event.target.form.requestSubmit();
});

// Every answer of our server to a form carries a partial. What has none came from something in between.
const isSend = (ctx) => ctx?.sourceElement.id === 'composer';
const isForm = (ctx) => isSend(ctx) || ctx?.sourceElement.matches('#composer *');
const complain = (text) => { $('#composer-error').textContent = text; };
on('htmx:config:request', ({ detail: { ctx } }) => {
  if (isForm(ctx)) complain('');
  if (isSend(ctx)) ctx.sent = $('#prompt').value;
});
on('htmx:error', ({ detail: { ctx } }) => isForm(ctx) && complain(UNREACHABLE));
on('htmx:before:swap', ({ detail: { ctx, tasks } }) => {
  const foreign = !tasks.some((task) => task.type === 'partial');
  if (foreign && isForm(ctx) && (isSend(ctx) || ctx.response.status >= 400)) complain(UNREACHABLE);
  if (isSend(ctx) && tasks.some((task) => task.target === ctx.sourceElement)) {
    const text = $('#prompt').value; // what was typed while the question was on its way is the next one
    ctx.rest = text.startsWith(ctx.sent) ? text.slice(ctx.sent.length) : text;
  }
});
on('htmx:after:swap', ({ detail: { ctx } }) => {
  if (ctx.rest === undefined) return;
  if (ctx.rest) $('#prompt').value = ctx.rest;
  if (desktop.matches) $('#prompt').focus({ preventScroll: true }); // on touch it would open the keyboard
  toEnd();
});
if (desktop.matches) $('#prompt').focus({ preventScroll: true });
