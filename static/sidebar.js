// The list of chats: its menu, what is renamed and deleted in it, and what has ended unseen.
/* global htmx */
import { $, composing, keep, kept, on, toBox, toast } from './dom.js';
import { prefers } from './preferences.js';

export const openChat = () => location.pathname.match(/^\/chats\/(\w{32})$/)?.[1];
export const refresh = () => htmx.trigger($('#search'), 'refresh');
const [list, menu] = [$('#chat-list'), $('#chat-menu')];
const chatOf = (row) => row.querySelector('a').id.slice('chat-link-'.length);
const nameOf = (row) => row.querySelector('.name');

on('htmx:config:request', ({ detail: { ctx } }) => { // as many as are shown, not only the first
  const shown = Math.min(100, list.querySelectorAll('.chat').length);
  if (ctx.sourceElement.id === 'search') ctx.request.body.set('limit', shown);
});

// The list is grouped by the reader's days, so the server has to know the time zone.
const zone = String(new Date().getTimezoneOffset());
if ((document.cookie.match(/(?:^|; )tz=(-?\d+)/)?.[1] ?? '0') !== zone) {
  document.cookie = `tz=${zone}; path=/; max-age=34560000; samesite=lax`;
  refresh();
}

let row = null; // whose menu it is
on('click', (event) => {
  const button = event.target.closest('.options');
  if (!button) return;
  event.preventDefault();
  row = button.closest('.chat');
  for (const item of menu.children) {
    const path = `/chats/${chatOf(row)}${item.dataset.path}`;
    item.setAttribute(item.matches('a') ? 'href' : 'formaction', path);
  }
  menu.togglePopover({ source: button });
});
menu.addEventListener('keydown', (event) => {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === 'Tab') menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  items.at(to % items.length).focus();
});
menu.addEventListener('click', (event) => {
  if (event.target.closest('[role="menuitem"]')) menu.hidePopover();
  if (!event.target.closest('[data-path="/delete"]')) return;
  const next = [row.nextElementSibling, row.previousElementSibling].find((other) => other?.matches('.chat'));
  (next?.querySelector('a') ?? $('.new')).focus();
});

// A title is sent when its box is left, by Enter, too; Esc takes back what was typed.
on('focusin', ({ target }) => target.matches('.title') && target.select());
list.addEventListener('focusout', ({ target }) => {
  if (!target.matches('.title')) return;
  if (target.value.trim() && target.value !== target.defaultValue) target.form.requestSubmit();
  else target.form.remove();
});
list.addEventListener('keydown', (event) => {
  const { key, target } = event;
  if (!target.matches('.title') || composing(event)) return;
  if (key !== 'Enter' && key !== 'Escape') return;
  event.preventDefault(); // a drawer stays open
  if (key === 'Escape') target.form.reset();
  target.closest('.chat').querySelector('a').focus();
});

// The menu, a title or Undo has sent its request: say when that fails.
const isMine = (ctx) => ctx?.sourceElement.matches('#menu-form, .renaming, .toast, #gone, #share *');
on('htmx:error', ({ detail: { ctx } }) => isMine(ctx) && toast('The server could not be reached.'));
on('htmx:before:swap', (event) => {
  const { ctx } = event.detail;
  if (!isMine(ctx) || ctx.response.status < 400) return;
  event.preventDefault();
  toast(ctx.response.status === 404 ? 'This is no longer here.' : 'This was refused.');
});
on('htmx:finally:request', ({ detail: { ctx } }) => {
  const form = ctx.sourceElement;
  if (form.matches('.toast, #gone')) toBox();
  if (form.matches('.renaming, .toast')) form.remove();
});
on('share', () => { $('#share').showModal(); $('#share-link').select(); });

// Notices lie above a drawer or a dialog that was opened before them, and go by themselves.
const toasts = $('#toasts');
new MutationObserver(([{ addedNodes }]) => {
  if (!addedNodes.length) return;
  toasts.hidePopover();
  toasts.showPopover();
}).observe(toasts, { childList: true });
toasts.addEventListener('animationend', ({ target }) => target.remove());

// The open chat was deleted, here or elsewhere; it can be read to its end.
export const gone = () => $('main').setAttribute('data-deleted', '');
export const back = () => $('main').removeAttribute('data-deleted');
on('gone', () => { // by this page: Undo is on it, and must not be behind a drawer
  gone();
  if ($('#chats:popover-open')) $('#chats').hidePopover();
  $('#gone button').focus();
});
on('back', back);

// A chat that ran when it was last seen and does not run any more is unread, unless it is open and seen. All
// tabs share these notes, so that only one of them tells.
const read = (key) => new Set((kept(key) ?? '').match(/\w+/g));
const write = (key, chats) => keep(key, [...chats].slice(-100).join(' '));
function account() {
  const [ran, unread, open] = [read('running'), read('unread'), document.hidden ? '' : openChat()];
  for (const row of list.querySelectorAll('.chat')) {
    const chat = chatOf(row);
    // The server marks the chat of the address that the page had when it asked: that may have changed.
    const link = row.querySelector('a');
    if (chat === openChat() && !link.ariaCurrent) link.setAttribute('aria-current', 'page');
    if (link.hasAttribute('data-running')) ran.add(chat);
    else if (ran.delete(chat) && chat !== open) {
      unread.add(chat);
      tell(`“${nameOf(row).textContent}” has been answered`, `/chats/${chat}`);
    }
  }
  unread.delete(open);
  write('running', ran);
  write('unread', unread);
  mark();
}
function tell(text, href) {
  if (!document.hidden) return toast(text, href);
  if (!prefers('notify')) return;
  try {
    const notice = new Notification(text, { tag: href, icon: $('link[rel="apple-touch-icon"]').href });
    notice.onclick = () => { focus(); location.assign(href); };
  } catch { /* a phone has none of a page's own */ }
}
function mark() {
  const unread = read('unread');
  for (const row of list.querySelectorAll('.chat')) {
    row.querySelector('a').toggleAttribute('data-unread', unread.has(chatOf(row)));
  }
  const title = document.title.replace(/^\(\d+\) /, '');
  const shown = unread.size ? `(${unread.size}) ${title}` : title;
  if (document.title !== shown) document.title = shown;
}
const changes = new MutationObserver(account);
changes.observe(list, { childList: true, subtree: true, attributeFilter: ['aria-current', 'data-running'] });
changes.observe($('#page-title'), { childList: true });
on('visibilitychange', account);
addEventListener('storage', mark);
account();
