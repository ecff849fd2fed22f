// The composer: what is typed is sent once, or kept.
import { $, composing, keep, kept, on, toBox, touch } from './dom.js';
import { toQuestion } from './scroll.js';

const UNREACHABLE = 'The server could not be reached. Your text is kept.';
const BUSY = 'An answer is still running. Your text is kept: send it when the answer is done, or stop it.';
const SENDING = `
  <article data-role="user" data-status="sending" aria-hidden="true"><div data-part="body"></div></article>`;
const complain = (text) => { $('#composer-error').textContent = text; };

on('keydown', (event) => {
  if (composing(event)) return;
  const { key, target } = event;
  const stop = $('#composer-actions .stop');
  const elsewhere = target.closest('nav') || $('dialog[open], :popover-open:not(#toasts)');
  if (key === 'Escape' && stop && !event.defaultPrevented && !elsewhere) stop.click();
  if (key !== 'Enter' || !target.matches('#prompt, .editor textarea')) return;
  if (event.shiftKey || (touch.matches && !event.ctrlKey && !event.metaKey)) return;
  event.preventDefault();
  if (!target.value.trim()) return;
  if (target.id === 'prompt' && (stop || sending)) return complain(BUSY);
  target.form.requestSubmit();
});

// The draft of each chat. Written while typing, not only when the page goes: a phone may just end it.
const draft = () => `draft:${location.pathname.split('/')[2] || 'new'}`;
let sending = ''; // what is on its way: in the conversation, and back in the box if it does not arrive
let pending = 0;
const whole = () => [sending, $('#prompt').value].filter(Boolean).join('\n');
function keepNow() {
  keep(draft(), whole());
  pending = clearTimeout(pending);
}
const flush = () => pending && keepNow();
on('input', ({ target }) => { if (target.id === 'prompt') pending ||= setTimeout(keepNow, 400); });
addEventListener('pagehide', flush);
on('visibilitychange', () => document.hidden && flush());
$('#prompt').value ||= kept(draft()) ?? '';

// Our server answers every form with a partial. A reply without one came from something in between.
const isSend = (ctx) => ctx?.sourceElement.id === 'composer';
const FORMS = '#composer, #composer *, #options *, #again form, #transcript form';
const isForm = (ctx) => ctx?.sourceElement.matches(FORMS);
// Sent again because nobody heard whether it arrived, it is the same request: also after a reload.
const unheard = () => draft().replace('draft', 'sent');
on('htmx:config:request', ({ detail: { ctx } }) => {
  if (isForm(ctx)) complain('');
  const [id, text] = kept(unheard())?.split(/ (.*)/s) ?? [];
  if (isSend(ctx) && text === $('#prompt').value) ctx.request.body.set('request_id', id);
});
on('htmx:before:request', ({ detail: { ctx } }) => {
  if (!isSend(ctx)) return;
  [ctx.draft, ctx.unheard, sending] = [draft(), unheard(), $('#prompt').value];
  keep(ctx.unheard, `${ctx.request.body.get('request_id')} ${sending}`);
  $('#prompt').value = '';
  keepNow();
  $('#transcript').insertAdjacentHTML('beforeend', SENDING);
  ctx.question = $('#transcript').lastElementChild;
  ctx.question.firstElementChild.textContent = sending;
  toQuestion();
});
on('htmx:error', ({ detail: { ctx } }) => isForm(ctx) && complain(UNREACHABLE));
on('htmx:before:swap', ({ detail: { ctx, tasks } }) => {
  const partials = tasks.filter((task) => task.type === 'partial');
  if (!partials.length && isForm(ctx) && ctx.response.status !== 204) complain(UNREACHABLE);
  if (isSend(ctx) && partials.length && ctx.response.status < 500) keep(ctx.unheard, '');
  if (!isSend(ctx) || !partials.some((task) => task.target === ctx.sourceElement)) return;
  ctx.question.remove(); // the real one comes, and may have come already
  const come = partials.flatMap(({ fragment }) => [...fragment.querySelectorAll('article')]);
  for (const { id } of come) document.getElementById(id)?.remove();
  [sending, ctx.rest] = ['', $('#prompt').value];
});
on('htmx:after:swap', ({ detail: { ctx } }) => {
  if ($('#composer-error').textContent === BUSY && !$('#composer-actions .stop')) complain('');
  if (ctx.rest === undefined) return;
  keep(ctx.draft, '');
  if (ctx.rest) keep(draft(), $('#prompt').value = ctx.rest);
  toBox();
  toQuestion();
});
on('htmx:finally:request', ({ detail: { ctx } }) => {
  if (!sending || !isSend(ctx)) return;
  ctx.question.remove();
  [$('#prompt').value, sending] = [whole(), ''];
  toQuestion();
});
toBox();
