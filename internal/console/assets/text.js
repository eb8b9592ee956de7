// The page's words. They are written in English where they are used; other languages
// have tables from those.
import { korean } from './korean.js';

const at = 'bowline.language';

export function language() {
  return localStorage.getItem(at) || (navigator.language.startsWith('ko') ? 'ko' : 'en');
}

export const setLanguage = (to) => localStorage.setItem(at, to);

// t is a text in the reader's language.
export const t = (english) => (language() === 'ko' && korean[english]) || english;

// translate sets the texts that are in the page itself.
export function translate(root) {
  document.documentElement.lang = language();
  for (const e of root.querySelectorAll('[data-t]')) {
    e.dataset.t ||= e.textContent;
    e.textContent = t(e.dataset.t);
  }
}
