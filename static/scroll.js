// The reader's place: the end is followed only while the reader is there.
import { $, STREAM, on, toBox } from './dom.js';
import { prefers } from './preferences.js';

const [jump, transcript] = [$('#jump'), $('#transcript')];
// The message that the address points at, if any.
const named = location.hash.startsWith('#message-');
const marked = named ? document.getElementById(location.hash.slice(1)) : $('[data-marked]');
let [following, top, finger] = [!marked, scrollY, 0]; // the end? · the last place · where a touch began
const below = () => document.documentElement.scrollHeight - innerHeight - scrollY;
const elsewhere = (event) => event.target.closest?.('nav, textarea'); // these scroll by themselves
const release = (event) => { if (scrollY > 0 && !(event && elsewhere(event))) following = false; };
function offer(news = false) {
  jump.hidden = following || below() < 120;
  if (news || jump.hidden) jump.toggleAttribute('data-news', news && !jump.hidden);
}
export function toEnd() {
  if (!transcript.firstElementChild) return; // a new chat is read from its top
  [following, jump.hidden] = [prefers('follow'), true];
  jump.removeAttribute('data-news');
  scrollTo({ top: document.documentElement.scrollHeight, behavior: 'instant' });
  top = scrollY;
}
// A new question moves near the top: its answer is given the room to fill the window below it.
export function toQuestion() {
  const question = [...transcript.querySelectorAll(':scope > [data-role="user"]')].at(-1);
  const answer = question?.nextElementSibling; // none yet while the question is on its way
  const above = answer ? [$('main > header'), $('#dock'), question] : [$('main > header'), $('#dock')];
  const used = above.reduce((sum, part) => sum + part.offsetHeight, 0);
  const { paddingTop, paddingBottom } = getComputedStyle(transcript);
  const gaps = [paddingTop, paddingBottom, answer && getComputedStyle(answer).marginTop]
    .reduce((sum, gap) => sum + parseFloat(gap || 0), 0);
  transcript.style.setProperty('--room', `${Math.max(0, Math.floor(innerHeight - used - gaps))}px`);
  toEnd();
}

// The first move upward stops the following, before the browser has scrolled: new text must not pull back.
addEventListener('wheel', (event) => event.deltaY < 0 && release(event), { passive: true });
addEventListener('touchstart', ({ touches: [touch] }) => { finger = touch.clientY; }, { passive: true });
addEventListener('touchmove', (event) => {
  if (event.touches[0].clientY > finger + 4) release(event);
}, { passive: true });
// What is opened, or being copied, holds still.
on('click', ({ target }) => { if (target.closest('summary')) following = false; });
on('selectionchange', () => {
  const { isCollapsed, anchorNode } = getSelection();
  if (!isCollapsed && transcript.contains(anchorNode)) following = false;
});
on('keydown', (event) => event.key === 'End' && !elsewhere(event) && toEnd()); // a glide never catches up
addEventListener('scroll', () => {
  if (scrollY < top && below() > 2) release(); // at the very end it is only the bounce of a phone
  else if (scrollY > top && below() < 40) following = prefers('follow');
  top = scrollY;
  offer();
}, { passive: true });
addEventListener('resize', () => following && toEnd());
jump.addEventListener('click', () => { toEnd(); toBox(); });
const sizes = new ResizeObserver((entries) => {
  if (following && !$('.editor')) toEnd(); // a box that is opened stays in sight
  else offer(Boolean($(STREAM)) && entries.some((entry) => entry.target === transcript));
});
for (const part of [transcript, $('#dock')]) sizes.observe(part);
marked?.scrollIntoView({ block: 'start', behavior: 'instant' });

// Older messages come in above: what is read stays where it is.
on('htmx:before:swap', ({ detail: { ctx } }) => {
  if (!ctx.sourceElement.closest?.('#older')) return;
  ctx.anchor = transcript.firstElementChild;
  ctx.place = ctx.anchor.getBoundingClientRect().top;
});
on('htmx:after:swap', ({ detail: { ctx } }) => {
  if (ctx.anchor) scrollBy({ top: ctx.anchor.getBoundingClientRect().top - ctx.place, behavior: 'instant' });
});
