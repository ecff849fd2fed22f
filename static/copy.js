// Answers (as markdown) and code that can be copied.
import { $, on } from './dom.js';

on('click', async ({ target }) => {
  const button = target.closest('[data-copy]');
  if (!button || 'done' in button.dataset) return;
  const address = button.dataset.copy; // of the message as it was written; code, or a link, is on the page
  const shown = button.closest('.code, .line')?.querySelector('pre code, [readonly]');
  const text = address
    ? fetch(address).then((response) => response.json()).then((message) => message.text)
    : shown.value ?? shown.textContent;
  const label = button.querySelector('span') ?? button;
  const words = label.textContent;
  label.textContent = await copy(text) ? 'Copied' : 'Not copied';
  button.dataset.done = '';
  setTimeout(() => { label.textContent = words; delete button.dataset.done; }, 2000);
});
async function copy(source) {
  const text = await Promise.resolve(source).catch(() => null); // the message could not be fetched
  if (typeof text !== 'string') return false;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // plain HTTP has no clipboard
    const area = Object.assign(document.createElement('textarea'), { value: text, className: 'unseen' });
    const focused = document.activeElement;
    ($('dialog[open]') ?? document.body).append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    focused?.focus({ preventScroll: true });
    return copied;
  }
}
