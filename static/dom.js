// What all modules use.

export const STREAM = '#live > [hx-sse\\:connect]'; // the one element that holds the running answer's stream
export const $ = (selector) => document.querySelector(selector);
export const on = (name, handler) => document.addEventListener(name, handler);
// Enter and Esc belong to the input method while it composes; Safari says so by the old key code alone.
export const composing = (event) => event.isComposing || event.keyCode === 229;
// Milliseconds before the next try: longer after each failure, and spread, because all tabs fail at once.
export const backoff = (failures) => Math.min(500 * 2 ** failures, 5000) * (0.7 + 0.6 * Math.random());
export const touch = matchMedia('(pointer: coarse)');
// Where the focus goes when what had it is gone; not on touch, where it would open the keyboard.
const toPrompt = () => $('#prompt').focus({ preventScroll: true });
export const toBox = () => matchMedia('(pointer: fine)').matches && toPrompt();

// What this browser keeps; nothing where it has no storage, or a full one.
export const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
export function keep(key, text) {
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  } catch { /* what is on the page is still there */ }
}

// A line that says what happened, for a while; with `href` a link. Some come from the server.
export function toast(text, href) {
  const line = Object.assign(document.createElement('p'), { className: 'toast' });
  const words = document.createElement(href ? 'a' : 'span');
  line.append(Object.assign(words, { textContent: text }, href && { href }));
  $('#toasts').append(line);
}
