// What happens elsewhere. One tab of a browser holds the connection to /events and tells the others; a hidden
// tab holds none, and asks for what it missed when it is seen again.
/* global htmx */
import { $, STREAM, backoff, on } from './dom.js';
import { prefers } from './preferences.js';
import { back, gone, openChat, refresh } from './sidebar.js';

const SILENCE = 30_000; // as for the stream of an answer
const TYPES = ['reset', 'new', 'running', 'finished', 'renamed', 'deleted', 'restored', 'changed'];
const channel = new BroadcastChannel('events');

let last = $('#chats').dataset.after; // the last event that this page knows of
let past = []; // what came by this tab's connection, for tabs that were away
let [lease, source, heard, failures, timer] = [null, null, 0, 0, 0];
let lost = 0; // since when there is no connection where there should be one
export const lostSince = () => lost;
const away = () => document.hidden && !prefers('notify'); // who wants a notice is told while hidden, too

function later(one, other) {
  const [[a, b], [c, d]] = [one, other].map((id) => id.split('-').map(Number));
  return a > c || (a === c && b > d);
}

function connect() {
  source?.close();
  [source, heard] = [new EventSource(`/events?after=${last}`), Date.now()];
  source.onopen = () => { [failures, lost, heard] = [0, 0, Date.now()]; };
  source.onerror = () => connectLater(backoff(failures++));
  source.addEventListener('heartbeat', () => { heard = Date.now(); });
  for (const type of TYPES) source.addEventListener(type, come);
}
function come({ type, data, lastEventId: id }) {
  heard = Date.now();
  const event = { ...JSON.parse(data), type, id };
  if (type === 'reset') past = [];
  else past = [...past, event].slice(-200);
  channel.postMessage(event);
  take(event);
}
function connectLater(delay) {
  source?.close();
  lost ||= Date.now();
  clearTimeout(timer);
  timer = setTimeout(connect, delay);
}
function begin() {
  if (away() || lease) return;
  const { signal } = lease = new AbortController();
  const hold = () => new Promise((resolve) => {
    [past, failures] = [[{ type: 'open', id: last }], 0];
    connect();
    signal.addEventListener('abort', () => {
      source.close();
      clearTimeout(timer);
      [source, lost] = [null, 0];
      resolve();
    });
  });
  if (navigator.locks) navigator.locks.request('events', { signal }, hold).catch(() => { /* hidden */ });
  else hold();
  channel.postMessage({ hello: last });
}
function end() { lease?.abort(); lease = null; }

channel.onmessage = ({ data }) => {
  if (data.hello === undefined) take(data);
  else if (source && later(past.at(-1)?.id ?? last, data.hello)) {
    const known = past[0] && !later(past[0].id, data.hello);
    for (const event of known ? past : [{ type: 'reset', id: last }]) channel.postMessage(event);
  }
};
function take(event) {
  if (away() || (event.type !== 'reset' && !later(event.id, last))) return;
  last = event.id;
  if (event.type === 'open') return;
  refresh();
  if (event.type === 'reset') sync();
  else if (event.chat_id === openChat()) change(event);
}
function showTitle(title) {
  $('#chat-title').textContent = title;
  $('#page-title').textContent = `${title} · Chat`;
}
const SETTINGS = '#options';
let saving = 0; // when this page last changed them: it hears of that, too
on('htmx:before:request', ({ detail: { ctx } }) => {
  if (ctx.sourceElement.matches('#options *')) saving = Date.now();
});
// Who changes them here is not interrupted.
const setting = () => Date.now() - saving < 5000 || $('#options :focus, #options :popover-open');
function change({ type, message_id: id, status, title }) {
  if (type === 'deleted') gone();
  else if (type === 'renamed') showTitle(title);
  else if (type === 'restored') { back(); sync(); }
  else if (type === 'changed') {
    sync();
    const to = { source: SETTINGS, target: SETTINGS, select: SETTINGS, swap: 'outerHTML' };
    if (!setting()) htmx.ajax('GET', `/chats/${openChat()}`, to);
  }
  else sync(() => { // begun or ended: this page may know, by its own question and stream
    const article = $(`#message-${id}`);
    const live = article?.matches('[aria-busy]') && $(STREAM);
    const known = type === 'finished' ? article?.dataset.status === status : article?.matches('[aria-busy]');
    return !live && !known;
  });
}
// Show the open chat as it is. A question that is just being sent has its own answer: then look again.
function sync(needed = () => true) {
  if (!openChat()) return;
  if ($('main .htmx-request')) setTimeout(sync, 200, needed);
  else if (needed()) {
    htmx.ajax('GET', `/chats/${openChat()}/transcript`, { source: '#chat-title', swap: 'none' });
  }
}
on('htmx:before:swap', (event) => {
  const { ctx, tasks } = event.detail;
  const settings = ctx.sourceElement.matches(SETTINGS);
  if (settings && (setting() || ctx.response.status >= 400)) event.preventDefault();
  if (ctx.sourceElement.id !== 'chat-title') return;
  if (ctx.response.status >= 400) event.preventDefault();
  if (ctx.response.status === 404) gone();
  // The swap leaves texts alone. Those that grew while this page heard nothing are replaced here.
  const whole = 'article:not([aria-busy]) > [data-part="body"]';
  const fresh = tasks.flatMap(({ fragment }) => [...fragment.querySelectorAll(whole)]);
  for (const body of fresh) {
    const old = document.getElementById(body.id);
    if (old && old.textContent !== body.textContent) old.replaceChildren(...body.cloneNode(true).childNodes);
  }
});

setInterval(() => {
  if (source && !lost && Date.now() - heard > SILENCE) connectLater(0); // half open: nothing will come
}, 1000);
const anew = () => { if (source) connectLater(0); else begin(); };
on('visibilitychange', () => (away() ? end() : begin()));
addEventListener('pagehide', end);
addEventListener('pageshow', begin);
addEventListener('online', anew);
begin();
