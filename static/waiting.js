// How long a reader has waited; and one polite line for screen readers that says how it goes, not each word.
import { $, on } from './dom.js';

const LONG = 9; // seconds after which the words change
const began = new WeakMap(); // by the page's clock: the server's may differ
let watched = null; // the answer that runs, or ran last

function duration(seconds) {
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
function say(text) {
  if ($('#said').textContent !== text) $('#said').textContent = text;
}
function look() {
  const running = $('article[aria-busy="true"]');
  if (!running) {
    if (!watched?.isConnected) return;
    say(watched.querySelector('.note')?.textContent || 'Answer finished');
    watched = null;
    return;
  }
  watched = running;
  const body = running.querySelector('[data-part="body"]');
  if (!began.has(running)) began.set(running, performance.now() - 1000 * running.dataset.waited);
  const seconds = Math.floor((performance.now() - began.get(running)) / 1000);
  const words = seconds < LONG ? 'Waiting…' : 'Still waiting…';
  body.dataset.wait = seconds < 3 ? words : `${words} ${duration(seconds)}`;
  say(body.firstChild ? 'Answering…' : words);
}
setInterval(look, 500);
on('htmx:after:swap', look);
look();
