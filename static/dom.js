// What all modules use.

export const STREAM = '[hx-sse\\:connect]'; // the one element that holds the stream of the running answer
export const $ = (selector) => document.querySelector(selector);
export const on = (name, handler) => document.addEventListener(name, handler);
export const [desktop, touch] = [matchMedia('(pointer: fine)'), matchMedia('(pointer: coarse)')];
