// A key's versions, the newest first, with what each has changed.
import { ask } from './api.js';
import { fromBase64, number, size, toBase64 } from './bytes.js';
import { difference } from './diff.js';
import { announce, h, problem } from './dom.js';
import { brief, lines } from './forms.js';
import { t } from './text.js';

const ends = {
  created: 'This version created the key.',
  compacted: 'What was before is compacted.',
  gone: 'Before that there was no such key.',
};

export async function history(root, key, signal) {
  const list = h('ol', { class: 'versions', 'aria-label': t('History') });
  const end = h('p', { class: 'quiet' });
  const more = h('button', { type: 'button' }, t('Older versions'));
  let before = 0, last = null; // the oldest that is shown, whose predecessor is not known

  const step = async () => {
    more.hidden = true;
    try {
      const got = await ask('history', { key: toBase64(key), before }, signal);
      for (const v of got.versions) add(v);
      before = got.before || 0;
      more.hidden = got.end !== 'more';
      end.textContent = got.end === 'more' ? '' : t(ends[got.end]);
      if (got.end === 'created' && last) last.change.replaceChildren(h('pre', {}, brief(last.bytes)));
      announce(`${list.children.length} ${t('versions')}`);
    } catch (e) {
      if (!signal.aborted) end.replaceChildren(problem(e));
    }
  };

  function add(v) {
    const bytes = fromBase64(v.value);
    const change = h('div', {}, h('pre', {}, brief(bytes)));
    if (last) last.change.replaceChildren(difference(lines(bytes), lines(last.bytes), `${t('Changed at revision')} ${last.mod}`, toBase64(bytes) === toBase64(last.bytes)));
    list.append(h('li', {}, h('h4', { class: 'title' }, `${t('Revision')} ${number(v.mod)}`, ' ', h('small', {}, `${t('version')} ${number(v.version)}, ${size(bytes.length)}`)), change));
    last = { mod: v.mod, bytes, change };
  }

  more.addEventListener('click', step);
  root.replaceChildren(h('h3', {}, t('History')), list, end, more);
  await step();
  root.scrollIntoView({ block: 'nearest' });
}
