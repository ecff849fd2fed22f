// What a reader prefers, in this browser.
import { $, keep, kept, on, toast } from './dom.js';

export function prefers(name) {
  const choice = kept(name);
  return choice ? choice === 'on' : $(`#preferences [name="${name}"]`).defaultChecked;
}
function show() {
  for (const box of document.querySelectorAll('#preferences input')) box.checked = prefers(box.name);
}
on('change', async ({ target }) => {
  if (!target.matches('#preferences input')) return;
  keep(target.name, target.checked ? 'on' : 'off');
  if (target.name !== 'notify' || !target.checked) return;
  if (await globalThis.Notification?.requestPermission() === 'granted') return;
  keep('notify', 'off');
  show();
  toast('This browser does not allow notifications here.');
});
addEventListener('storage', show); // another tab
show();
