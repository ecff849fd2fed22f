// Keys for what a pointer can do. The list of them is the dialog in the page.
import { $, composing, on } from './dom.js';

on('keydown', (event) => {
  if (composing(event) || event.defaultPrevented) return;
  const { key, target } = event;
  const command = event.ctrlKey || event.metaKey;
  const typing = target.matches?.('input, textarea, select, [contenteditable]');
  if (command && !event.shiftKey && key.toLowerCase() === 'k') search(event);
  else if (command && event.shiftKey && key.toLowerCase() === 'o') {
    event.preventDefault();
    location.assign('/');
  }
  else if ((command && key === '/') || (key === '?' && !typing)) { event.preventDefault(); list(); }
  else if (key === 'ArrowDown' && target.matches?.('#search input')) $('#chat-list a')?.focus();
  else if (key === 'Escape' && target.matches?.('#search input') && target.value) {
    event.preventDefault();
    target.value = '';
    target.dispatchEvent(new Event('input', { bubbles: true }));
  }
});
function search(event) {
  event.preventDefault();
  const box = $('#search input');
  if (!box.checkVisibility()) $('#chats').showPopover();
  box.focus();
  box.select();
}
const list = () => $('#shortcuts').open || $('#shortcuts').showModal();
