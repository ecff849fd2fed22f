// What all modules use.

export const STREAM = '#live > [hx-sse\\:connect]'; // the one element that holds the running answer's stream
export const $ = (selector) => document.querySelector(selector);
export const on = (name, handler) => document.addEventListener(name, handler);
export const [desktop, touch] = [matchMedia('(pointer: fine)'), matchMedia('(pointer: coarse)')];
