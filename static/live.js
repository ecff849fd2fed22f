// The stream of the running answer stays alive, and the page says when it does not.
/* global htmx */
import { $, STREAM, backoff, on } from './dom.js';
import { inLine, leave, maySpeak, standInLine } from './slots.js';
import { lostSince } from './tabs.js';

const SILENCE = 30_000; // the server speaks every 12 s; after this long the connection is taken for dead
const PATIENCE = 2_000; // shorter drops are not worth a word
const OFFLINE = 'Offline';
const BACK = 'Back online'; // said only to whom the loss was told
const GONE = 'This answer is no longer here. Reload the page.';
const SIGNED_OUT = 'You are signed out. Reload the page to sign in again.';
const FORBIDDEN = 'You may not read this chat any more.';
const REFUSALS = { 401: SIGNED_OUT, 403: FORBIDDEN, 404: GONE, 410: GONE }; // for good
const isStream = (ctx) => ctx?.sourceElement.matches(STREAM);

let request = null; // htmx's request of the stream; a reconnect uses it again
let connection = null; // hx-sse's own record of the connection
let [failures, barren] = [0, 0]; // in a row: failed first connections · connections that brought no message
let [opened, heard, alive] = [0, 0, Date.now()]; // when it was made · spoke last · was there or not needed
let retryTimer = 0;
let refusal = ''; // why there is no use in trying again
let apology = 0; // until when "Back online" is said

const tryFirst = () => standInLine(retryFirst, giveWay);
const giveWay = () => connection?.reader?.cancel(); // hx-sse sees an end, and has to stand in line again
on('htmx:config:request', (event) => {
  const { ctx } = event.detail;
  if (!isStream(ctx)) return;
  if (!maySpeak()) { event.preventDefault(); tryFirst(); return; }
  const another = request?.sourceElement !== ctx.sourceElement;
  if (another) [failures, barren, refusal, connection] = [0, 0, '', null];
  request = ctx;
});

// hx-sse retries only what was connected once. The first connection is ours: when it fails, or brings
// anything but an event stream (hx-sse takes those over before htmx:after:request).
on('htmx:after:request', ({ detail: { ctx } }) => isStream(ctx) && firstFailed(ctx.response.status));
on('htmx:error', ({ detail: { ctx } }) => isStream(ctx) && firstFailed());
function firstFailed(status) {
  refusal = REFUSALS[status] ?? '';
  clearTimeout(retryTimer);
  if (!refusal) retryTimer = setTimeout(retryFirst, backoff(failures++));
}
function retryFirst() {
  retryTimer = 0;
  if ($(STREAM)) htmx.trigger($(STREAM), 'sse:retry');
  else leave();
}

on('htmx:sse:before:connection', (event) => {
  connection = event.detail.connection;
  if (refusal) return event.preventDefault(); // ends hx-sse's loop
  const { config } = connection;
  if (connection.attempt && !maySpeak()) {
    config.reconnectDelay = config.reconnectMaxDelay = 1e9; // until it is this tab's turn
    standInLine(() => {
      [config.reconnectDelay, config.reconnectMaxDelay] = [500, 5000];
      setTimeout(() => connection?.delayCanceller?.());
    }, giveWay);
  }
  if (!connection.lastEventId) return;
  // hx-sse sends Last-Event-ID, but some proxies drop it: the address says it too.
  const url = new URL(request.request.action, location.href);
  url.searchParams.set('after', connection.lastEventId);
  request.request.action = url.pathname + url.search;
});
on('htmx:sse:after:connection', () => {
  opened = heard = Date.now();
  // A 200 that brings nothing (a sign-in page, say) is a connection for hx-sse, which would ask again each
  // half second for ever. The delay grows until a message comes.
  connection.config.reconnectDelay = Math.min(500 * 2 ** barren++, 5000);
});
on('htmx:sse:before:message', () => {
  alive = heard = Date.now();
  [barren, connection.config.reconnectDelay] = [0, 500];
});
on('htmx:sse:error', ({ detail }) => { refusal = REFUSALS[detail.status] ?? refusal; });
on('htmx:sse:close', leave);
setInterval(() => {
  const now = Date.now();
  const open = connection?.reader && (heard > opened || now - opened > 1000);
  // A hidden tab gives its stream up by design.
  if (open || document.hidden || !$(STREAM) || inLine()) alive = now;
  if (connection?.reader && now - heard > SILENCE) {
    heard = now;
    connection.reader.cancel(); // hx-sse sees an end and reconnects
  }
  const away = Math.min(alive, lostSince() || now);
  let text = !navigator.onLine ? OFFLINE : refusal || (now - away > PATIENCE ? 'Reconnecting…' : '');
  const shown = $('#connection').textContent;
  if (!text && shown && shown !== BACK) apology = now + 1500;
  if (!text && now < apology) text = BACK;
  if (shown !== text) $('#connection').textContent = text;
  $('#connection').toggleAttribute('data-answering', text === OFFLINE && Boolean($(STREAM)));
}, 250);

// Back from sleep, from the background or from no network: at once, not when the back-off ends.
function catchUp() {
  setTimeout(() => connection?.delayCanceller?.()); // after hx-sse has begun to wait
  if (retryTimer) { clearTimeout(retryTimer); retryFirst(); }
}
function startAnew() { connection?.reader?.cancel(); catchUp(); } // an old socket may hang for long
addEventListener('online', startAnew);
addEventListener('pageshow', (event) => event.persisted && startAnew());
on('visibilitychange', () => {
  if (document.hidden) leave();
  else if ($(STREAM) && !maySpeak() && !connection) tryFirst();
  else setTimeout(() => (maySpeak() || !inLine()) && catchUp()); // hidden in line, it still waits
});
