// The list of chats: its menu, what is renamed and deleted in it, and what has ended unseen.
/* global htmx */
import { $, keep, kept, on, toast } from './dom.js';
import { prefers } from './preferences.js';

export const openChat = () => location.pathname.match(/^\/chats\/(\w{32})$/)?.[1];
export const refresh = () => htmx.trigger($('#search'), 'refresh');
const [list, menu] = [$('#chat-list'), $('#chat-menu')];
const chatOf = (row) => row.querySelector('a').id.slice('chat-link-'.length);
const nameOf = (row) => row.querySelector('.name');

on('htmx:config:request', ({ detail: { ctx } }) => { // as many as are shown, not only the first
  if (ctx.sourceElement.id === 'search') ctx.request.body.set('limit', Math.min(100, list.querySelectorAll('.chat').length));
});

// Days begin where the reader is.
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
  for (const link of menu.querySelectorAll('[data-path]')) link.href = `/chats/${chatOf(row)}${link.dataset.path}`;
  menu.togglePopover({ source: button });
});
menu.addEventListener('toggle', ({ newState }) => newState === 'open' && menu.firstElementChild.focus());
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
  const item = event.target.closest('[role="menuitem"]');
  if (!item) return;
  menu.hidePopover();
  if (item.dataset.do === 'rename') rename(row);
  if (item.dataset.do === 'delete') remove(row);
  if (item.dataset.do === 'share') import('./share.js').then(({ share }) => share(chatOf(row)));
});

export async function send(method, path, fields) {
  const body = fields && new URLSearchParams(fields);
  const response = await fetch(path, { method, body, headers: { 'HX-Request': 'true' } }).catch(() => null);
  if (!response) toast('The server could not be reached.');
  else if (!response.ok) toast(response.status === 404 ? 'This is no longer here.' : 'This was refused.');
  return response?.ok ? response : null;
}
export function showTitle(chat, title) {
  const name = $(`#chat-link-${chat} .name`);
  if (name) name.textContent = title;
  if (chat !== openChat()) return;
  $('#chat-title').textContent = title;
  $('#page-title').textContent = `${title} · Chat`;
}
function rename(row) {
  const [link, name, chat] = [row.querySelector('a'), nameOf(row).textContent, chatOf(row)];
  const input = Object.assign(document.createElement('input'), { value: name, maxLength: 200, className: 'title', ariaLabel: 'Title' });
  row.setAttribute('hx-morph-skip', ''); // whatever happens to the list
  link.hidden = true;
  row.prepend(input);
  input.select();
  const done = async (save) => {
    if (!link.hidden) return;
    const focused = document.activeElement === input;
    link.hidden = false;
    input.remove();
    row.removeAttribute('hx-morph-skip');
    if (focused) link.focus();
    const title = input.value.trim();
    if (!save || !title || title === name) return;
    showTitle(chat, title);
    if (!await send('PATCH', `/chats/${chat}`, { title })) showTitle(chat, name);
  };
  input.addEventListener('blur', () => done(true));
  input.addEventListener('keydown', (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key !== 'Enter' && event.key !== 'Escape') return;
    event.preventDefault(); // a drawer stays open
    done(event.key === 'Enter');
  });
}

async function remove(row) {
  const [chat, title] = [chatOf(row), nameOf(row).textContent];
  const next = [row.nextElementSibling, row.previousElementSibling].find((other) => other?.matches('.chat'));
  (next?.querySelector('a') ?? $('.new')).focus();
  row.remove();
  if (chat === openChat()) gone(title);
  else offerUndo(chat, title);
  if (!await send('DELETE', `/chats/${chat}`)) { back(); refresh(); }
}
const offerUndo = (chat, title) => toast(`Deleted “${title}”`, { label: 'Undo', run: () => restore(chat) });
async function restore(chat) {
  if (!await send('POST', `/chats/${chat}/restore`)) return;
  if (chat === openChat()) back();
  refresh();
}
// The open chat was deleted, here or elsewhere; it can be read to its end.
export function gone(title = $('#chat-title').textContent) {
  if ($('main').hasAttribute('data-deleted')) return;
  $('main').setAttribute('data-deleted', '');
  offerUndo(openChat(), title);
}
export const back = () => $('main').removeAttribute('data-deleted');

// What ran when it was last seen and does not run any more is unread, unless somebody looks at it. All tabs keep
// one account of it, so that only one says so.
const read = (key) => new Set((kept(key) ?? '').match(/\w+/g));
const write = (key, chats) => keep(key, [...chats].slice(-100).join(' '));
function account() {
  const [ran, unread, open] = [read('running'), read('unread'), document.hidden ? '' : openChat()];
  for (const row of list.querySelectorAll('.chat')) {
    const chat = chatOf(row);
    // The server knows the address that the page had when it asked.
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
  if (!document.hidden) return toast(text, { href });
  if (!prefers('notify')) return;
  try {
    const notice = new Notification(text, { tag: href, icon: $('link[rel="apple-touch-icon"]').href });
    notice.onclick = () => { focus(); location.assign(href); };
  } catch { /* a phone has none of a page's own */ }
}
function mark() {
  const unread = read('unread');
  for (const link of list.querySelectorAll('.chat a')) link.toggleAttribute('data-unread', unread.has(link.id.slice('chat-link-'.length)));
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
