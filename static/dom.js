// What all modules use.

export const STREAM = '#live > [hx-sse\\:connect]'; // the one element that holds the running answer's stream
export const $ = (selector) => document.querySelector(selector);
export const on = (name, handler) => document.addEventListener(name, handler);
export const [desktop, touch] = [matchMedia('(pointer: fine)'), matchMedia('(pointer: coarse)')];

// What this browser keeps; nothing where it has no storage, or a full one.
export const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
export function keep(key, text) {
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  } catch { /* what is on the page is still there */ }
}

// A line that says what happened, for a while; `href` makes a link of it, `run` a button (with `label`).
export function toast(text, { href, label, run } = {}) {
  const line = document.createElement('p');
  line.className = 'toast';
  line.append(Object.assign(document.createElement(href ? 'a' : 'span'), { textContent: text, ...(href && { href }) }));
  if (run) {
    const button = Object.assign(document.createElement('button'), { textContent: label, type: 'button' });
    button.addEventListener('click', () => { line.remove(); run(); });
    line.append(button);
  }
  const place = $('#toasts');
  place.hidePopover(); // shown anew it lies above a drawer
  place.showPopover();
  place.append(line);
  setTimeout(() => line.remove(), 8000);
}
