// The frame around the views: which is shown, in what colours and language.
import { session } from './api.js';
import { h, problem } from './dom.js';
import { login, showSession } from './session.js';
import { language, setLanguage, t, translate } from './text.js';

const views = {
  cluster: () => import('./cluster.js'), charts: () => import('./charts.js'), keys: () => import('./keys.js'),
  watch: () => import('./watch.js'), leases: () => import('./leases.js'), access: () => import('./access.js'),
  load: () => import('./load.js'),
};

const main = document.getElementById('main');
let leaving = new AbortController();
let shown = '';

// place reads the view and its parameters from the address.
function place() {
  const [, name, query] = /^#\/(\w+)(?:\?(.*))?$/.exec(location.hash) || [];
  return { name: views[name] ? name : 'cluster', params: new URLSearchParams(query || '') };
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { name, params } = place();
  for (const a of document.querySelectorAll('#nav a')) {
    if (a.getAttribute('href') === '#/' + name) {
      a.setAttribute('aria-current', 'page');
      a.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    } else a.removeAttribute('aria-current');
  }
  try {
    const view = await views[name]();
    if (signal.aborted) return;
    document.title = `${t(view.title)} – Bowline`;
    main.replaceChildren();
    if (shown && shown !== name) main.focus(); // at once: who waits for the view may act already
    shown = name;
    await view.show(main, params, signal);
  } catch (e) {
    if (!signal.aborted) main.replaceChildren(h('h1', {}, t('Something is wrong')), problem(e));
  }
}

function theme(wanted) {
  if (wanted) document.documentElement.dataset.theme = wanted;
  else delete document.documentElement.dataset.theme;
}

function settings() {
  const dark = () => (document.documentElement.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const colours = h('button', { type: 'button', class: 'icon', onclick: () => {
    const to = dark() ? 'light' : 'dark';
    localStorage.setItem('bowline.theme', to);
    theme(to);
  }, 'aria-label': t('Light or dark'), title: t('Light or dark') }, '◐');
  const other = language() === 'ko' ? 'en' : 'ko';
  const words = h('button', { type: 'button', class: 'icon', lang: other, onclick: () => {
    setLanguage(other);
    refresh();
  }, 'aria-label': other === 'ko' ? '한국어' : 'English', title: other === 'ko' ? '한국어' : 'English' }, other === 'ko' ? 'KO' : 'EN');
  return [colours, words];
}

function sessionShown() {
  const who = h('span', { class: 'row' });
  document.getElementById('session').replaceChildren(who, ...settings());
  showSession(who);
}

function refresh() {
  translate(document);
  sessionShown();
  show();
}

theme(localStorage.getItem('bowline.theme'));
document.getElementById('skip').addEventListener('click', () => main.focus());
addEventListener('hashchange', show);
let declined = false; // who would rather be nobody is not asked again by itself
document.addEventListener('session', () => {
  declined = false;
  refresh();
});
document.addEventListener('needs-login', async () => {
  if (session.token) { // it is over
    session.end();
    declined = false;
    sessionShown();
  }
  if (!declined) declined = !await login();
});
refresh();
