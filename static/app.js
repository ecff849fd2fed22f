// What the page cannot say in HTML. Without this file (and without htmx) the forms post and the links navigate.
/* global htmx */

const STREAM = '[hx-sse\\:connect]'; // the one element that holds the stream of the running answer
const SILENCE = 30_000; // the server speaks every 12 s; after this long the connection is taken for dead
const PATIENCE = 2_000; // shorter drops are not worth a word
const UNREACHABLE = 'The server could not be reached. Your text is kept.';
const GONE = 'This answer is no longer here. Reload the page.';
const SIGNED_OUT = 'You are signed out. Reload the page to sign in again.';
const REFUSALS = { 401: SIGNED_OUT, 403: 'You may not read this chat any more.', 404: GONE, 410: GONE }; // for good
const $ = (selector) => document.querySelector(selector);
const on = (name, handler) => document.addEventListener(name, handler);
const isStream = (ctx) => ctx?.sourceElement.matches(STREAM);
const [desktop, touch] = [matchMedia('(pointer: fine)'), matchMedia('(pointer: coarse)')];

// ---------------------------------------------------------------- the stream stays alive
let request = null; // htmx's request of the stream; a reconnect uses it again
let connection = null; // hx-sse's own record of the connection
let [failures, barren] = [0, 0]; // in a row: failed first connections · connections that brought no message
let [opened, heard, alive] = [0, 0, Date.now()]; // when it was made · last spoke · last was there, or not needed
let retryTimer = 0;
let refusal = ''; // why there is no use in trying again

on('htmx:config:request', ({ detail: { ctx } }) => {
  if (!isStream(ctx)) return;
  if (request?.sourceElement !== ctx.sourceElement) [failures, barren, refusal, connection] = [0, 0, '', null];
  request = ctx;
});

// hx-sse retries only what was connected once. The first connection is ours: when it fails, and when it brings
// something other than an event stream (hx-sse takes those over before htmx:after:request).
on('htmx:after:request', ({ detail: { ctx } }) => isStream(ctx) && firstFailed(ctx.response.status));
on('htmx:error', ({ detail: { ctx } }) => isStream(ctx) && firstFailed());
function firstFailed(status) {
  refusal = REFUSALS[status] ?? '';
  clearTimeout(retryTimer);
  const delay = Math.min(500 * 2 ** failures++, 5000) * (0.7 + 0.6 * Math.random());
  if (!refusal) retryTimer = setTimeout(retryFirst, delay);
}
function retryFirst() {
  retryTimer = 0;
  if ($(STREAM)) htmx.trigger($(STREAM), 'sse:retry');
}

on('htmx:sse:before:connection', (event) => {
  connection = event.detail.connection;
  if (refusal) return event.preventDefault(); // ends hx-sse's loop
  if (!connection.lastEventId) return;
  // hx-sse sends Last-Event-ID, but some proxies drop it: the address says it too.
  const url = new URL(request.request.action, location.href);
  url.searchParams.set('after', connection.lastEventId);
  request.request.action = url.pathname + url.search;
});
on('htmx:sse:after:connection', () => {
  opened = heard = Date.now();
  // A 200 that brings nothing (a sign-in page, say) counts as connected for hx-sse, which would ask again every
  // 0.5 s for ever. The delay grows until a message comes.
  connection.config.reconnectDelay = Math.min(500 * 2 ** barren++, 5000);
});
on('htmx:sse:before:message', () => {
  alive = heard = Date.now();
  [barren, connection.config.reconnectDelay] = [0, 500];
});
on('htmx:sse:error', ({ detail }) => { refusal = REFUSALS[detail.status] ?? refusal; });
setInterval(() => {
  const now = Date.now();
  const open = connection?.reader && (heard > opened || now - opened > 1000);
  if (open || document.hidden || !$(STREAM)) alive = now; // a hidden tab gives its stream up by design
  if (connection?.reader && now - heard > SILENCE) {
    heard = now;
    connection.reader.cancel(); // hx-sse sees an end and reconnects
  }
  const text = !navigator.onLine ? 'Offline' : refusal || (now - alive > PATIENCE ? 'Reconnecting…' : '');
  if ($('#connection').textContent !== text) $('#connection').textContent = text;
}, 250);

// Back from sleep, from the background or from no network: at once, not when the back-off ends.
function catchUp() {
  setTimeout(() => connection?.delayCanceller?.()); // after hx-sse has begun to wait
  if (retryTimer) { clearTimeout(retryTimer); retryFirst(); }
}
function startAnew() { connection?.reader?.cancel(); catchUp(); } // an old socket may hang for long
addEventListener('online', startAnew);
addEventListener('pageshow', (event) => event.persisted && startAnew());
on('visibilitychange', () => document.hidden || catchUp());

// ---------------------------------------------------------------- the composer
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

// ---------------------------------------------------------------- code that can be copied
on('click', async ({ target }) => {
  const button = target.closest('[data-copy]');
  if (!button) return;
  const text = button.closest('.code').querySelector('code').textContent;
  button.textContent = await copy(text) ? 'Copied' : 'Not copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
});
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // plain HTTP has no clipboard
    const area = Object.assign(document.createElement('textarea'), { value: text, className: 'unseen' });
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }
}

// ---------------------------------------------------------------- formulas, drawn once they will not change any more
function drawMath() {
  const growing = '[aria-busy="true"] > [data-part="body"] > :last-child';
  const found = [...document.querySelectorAll('.math:not([data-drawn])')].filter((math) => !math.closest(growing));
  if (found.length) import('./math.js').then(({ draw }) => draw(found));
}
on('htmx:after:swap', drawMath);
drawMath();

// ---------------------------------------------------------------- the reader's place
const jump = $('#jump');
let [following, top, finger] = [true, scrollY, 0]; // is the end followed? · the last place · where a touch began
const below = () => document.documentElement.scrollHeight - innerHeight - scrollY;
const elsewhere = (event) => event.target.closest?.('nav, textarea'); // these scroll by themselves
const release = (event) => { if (scrollY > 0 && !(event && elsewhere(event))) following = false; };
function toEnd() {
  following = jump.hidden = true;
  scrollTo({ top: document.documentElement.scrollHeight, behavior: 'instant' });
  top = scrollY;
}

// The first move upward lets go, before the browser has scrolled: text that arrives in between must not pull back.
addEventListener('wheel', (event) => event.deltaY < 0 && release(event), { passive: true });
addEventListener('touchstart', (event) => { finger = event.touches[0].clientY; }, { passive: true });
addEventListener('touchmove', (event) => event.touches[0].clientY > finger + 4 && release(event), { passive: true });
on('keydown', (event) => event.key === 'End' && !elsewhere(event) && toEnd()); // a glide never catches up with text
addEventListener('scroll', () => {
  if (scrollY < top && below() > 2) release(); // at the very end it is only the bounce of a phone
  else if (scrollY > top && below() < 40) following = jump.hidden = true;
  top = scrollY;
}, { passive: true });
addEventListener('resize', () => following && toEnd());
jump.addEventListener('click', toEnd);
const sizes = new ResizeObserver((entries) => {
  if (following) toEnd();
  else if ($(STREAM) && entries.some((entry) => entry.target.id === 'transcript')) jump.hidden = false;
});
for (const part of ['#transcript', '#dock']) sizes.observe($(part));
