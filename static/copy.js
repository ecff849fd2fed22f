// Code that can be copied.
import { on } from './dom.js';

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
