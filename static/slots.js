// HTTP/1.1 gives a browser six connections to a server, for all its tabs. Three may be streams of answers;
// more tabs take turns: each reads on from where it was.
const SLOTS = 3;
const TURN = 1000;
// Newer protocols carry everything in one connection; without locks (plain http) nobody can take turns.
const protocol = performance.getEntriesByType('navigation')[0]?.nextHopProtocol;
const plenty = !navigator.locks || protocol !== 'http/1.1';

let held = null; // gives the slot back
let waiting = null;
let clock = 0;

export const maySpeak = () => plenty || held !== null;
export const inLine = () => waiting !== null;
export function leave() {
  clearInterval(clock);
  waiting?.abort();
  held?.();
  waiting = held = null;
}
// `granted` when there is a slot; `over` when others wait and this tab has had its turn.
export function standInLine(granted, over) {
  if (held || waiting) return;
  const lines = Array.from({ length: SLOTS }, () => new AbortController());
  const mine = waiting = { abort: (but) => lines.forEach((line) => line === but || line.abort()) };
  const come = (line) => new Promise((resolve) => {
    if (waiting !== mine) { resolve(); return; } // another slot was there first, or it is not needed any more
    [waiting, held] = [null, resolve];
    mine.abort(line);
    clock = setInterval(async () => {
      const { pending } = await navigator.locks.query();
      if (held === resolve && pending.some(({ name }) => name.startsWith('stream '))) { leave(); over(); }
    }, TURN);
    granted();
  });
  for (const [number, line] of lines.entries()) {
    const { signal } = line;
    const turn = navigator.locks.request(`stream ${number}`, { signal }, () => come(line));
    turn.catch(() => { /* not needed any more */ });
  }
}
