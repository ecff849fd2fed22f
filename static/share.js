// The dialog that makes, shows and takes back the public link of a chat. Loaded by sidebar.js when it is wanted.
import { $, toast } from './dom.js';
import { copy } from './copy.js';
import { send } from './sidebar.js';

let chat = '';
export async function share(id) {
  chat = id;
  const response = await send('POST', `/chats/${chat}/share`);
  if (!response) return;
  const { url } = await response.json();
  $('#share-link').value = new URL(url, location.href);
  $('#share-copy').textContent = 'Copy link';
  $('#share').showModal();
  $('#share-link').select();
}
$('#share-copy').addEventListener('click', async ({ target }) => {
  target.textContent = await copy($('#share-link').value) ? 'Copied' : 'Not copied';
});
$('#share-end').addEventListener('click', async () => {
  $('#share').close();
  if (await send('POST', `/chats/${chat}/unshare`)) toast('The link leads nowhere now.');
});
