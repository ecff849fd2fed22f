// What can be done with a message: a question is edited in its place, an answer given again by another model.
/* global htmx */
import { $, composing, on, toBox } from './dom.js';
import { toEnd } from './scroll.js';

const editor = () => $('.editor');
on('keydown', (event) => {
  const { key, target } = event;
  if (composing(event)) return;
  if (key === 'Escape' && target.closest?.('.editor')) leave(event);
  const plain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (key === 'ArrowUp' && plain && target.id === 'prompt' && !target.value) {
    const last = [...document.querySelectorAll('#transcript [name="edit"]')].at(-1);
    if (last) { event.preventDefault(); last.click(); }
  }
});
function leave(event) {
  event.preventDefault();
  const article = event.target.closest('article');
  article.querySelector('[data-part="edit"]').replaceChildren();
  article.querySelector('[name="edit"]').focus({ preventScroll: true });
}
on('click', (event) => {
  const { target } = event;
  if (target.closest('.editor a')) leave(event);
  const other = target.closest('.other');
  if (other) $('#again form').setAttribute('action', other.form.getAttribute('action'));
  if (target.closest('#again button')) $('#again').hidePopover();
  const preset = target.closest('[data-preset]');
  if (preset) {
    $('#system').value = preset.dataset.preset;
    $('#system').dispatchEvent(new Event('change', { bubbles: true }));
    $('#system').focus();
  }
});

// Of an answer only what is below it is htmx's, and htmx would search all of a long one for more.
on('htmx:before:process', (event) => {
  if (!event.target.matches?.('article[data-role="assistant"]')) return;
  event.preventDefault();
  htmx.process(event.target.querySelector('.acts'));
});

// One box at a time; the focus goes with it, and never gets lost with a button that was swapped away.
on('htmx:before:swap', ({ detail: { tasks } }) => {
  if (tasks.some((task) => task.target?.matches?.('[data-part="edit"]'))) editor()?.remove();
});
on('htmx:after:swap', ({ detail: { ctx } }) => {
  const box = editor()?.querySelector('textarea');
  const form = ctx.sourceElement;
  if (!form.matches?.('.acts, .editor, #again form')) return;
  if (box && ctx.request.method === 'GET') {
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
    box.scrollIntoView({ block: 'nearest' });
  } else if ($('[aria-busy="true"]')) {
    toEnd();
    toBox();
  } else if (document.activeElement === document.body) {
    const shown = ctx.request.action.match(/messages\/(\w+)\/select/)?.[1];
    $(`#message-${shown} .versions button:enabled`)?.focus({ preventScroll: true });
  }
});
