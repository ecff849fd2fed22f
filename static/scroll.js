// The reader's place: the end is followed only while the reader is there.
import { $, STREAM, on } from './dom.js';

const jump = $('#jump');
let [following, top, finger] = [true, scrollY, 0]; // is the end followed? · the last place · where a touch began
const below = () => document.documentElement.scrollHeight - innerHeight - scrollY;
const elsewhere = (event) => event.target.closest?.('nav, textarea'); // these scroll by themselves
const release = (event) => { if (scrollY > 0 && !(event && elsewhere(event))) following = false; };
export function toEnd() {
  following = jump.hidden = true;
  scrollTo({ top: document.documentElement.scrollHeight, behavior: 'instant' });
  top = scrollY;
}

// The first move upward lets go, before the browser has scrolled: text that arrives in between must not pull back.
addEventListener('wheel', (event) => event.deltaY < 0 && release(event), { passive: true });
addEventListener('touchstart', (event) => { finger = event.touches[0].clientY; }, { passive: true });
addEventListener('touchmove', (event) => event.touches[0].clientY > finger + 4 && release(event), { passive: true });
on('keydown', (event) => event.key === 'End' && !elsewhere(event) && toEnd()); // a glide never catches up with text
addEventListener('scroll', () => {
  if (scrollY < top && below() > 2) release(); // at the very end it is only the bounce of a phone
  else if (scrollY > top && below() < 40) following = jump.hidden = true;
  top = scrollY;
}, { passive: true });
addEventListener('resize', () => following && toEnd());
jump.addEventListener('click', toEnd);
const sizes = new ResizeObserver((entries) => {
  if (following) toEnd();
  else if ($(STREAM) && entries.some((entry) => entry.target.id === 'transcript')) jump.hidden = false;
});
for (const part of ['#transcript', '#dock']) sizes.observe($(part));
