// What the member does, drawn while one looks.
import { ask } from './api.js';
import { duration, number, size } from './bytes.js';
import { every, h, problem } from './dom.js';
import { plot } from './plot.js';
import { t } from './text.js';

export const title = 'Charts';

const span = 5 * 60 * 1000, pace = 2000;

// samples outlive the view: who comes back finds the last minutes.
const samples = [];

// quantile estimates it from what came between two countings of a distribution.
export function quantile(q, before, now) {
  if (!now) return null;
  const was = (i) => before && before.below[i] !== undefined ? before.below[i] : 0;
  const total = now.count - (before ? before.count : 0);
  if (total <= 0) return null;
  const rank = q * total;
  for (let i = 0; i < now.bounds.length; i++) {
    const below = now.below[i] - was(i);
    if (below >= rank) {
      const lower = i ? now.bounds[i - 1] : 0, less = i ? now.below[i - 1] - was(i - 1) : 0;
      return lower + (now.bounds[i] - lower) * (below > less ? (rank - less) / (below - less) : 1);
    }
  }
  return now.bounds[now.bounds.length - 1];
}

// together adds up distributions, which have the same bounds.
function together(all) {
  const sum = { bounds: [], below: [], count: 0 };
  for (const d of all) {
    if (!sum.bounds.length) {
      sum.bounds = d.bounds;
      sum.below = d.below.map(() => 0);
    }
    d.below.forEach((n, i) => { sum.below[i] += n; });
    sum.count += d.count;
  }
  return sum;
}

const reads = ['Range', 'ReadonlyTxn'];
const writes = ['Put', 'DeleteRange', 'Txn', 'LeaseGrant', 'LeaseRevoke', 'Compaction'];
const fsync = 'etcd_disk_wal_fsync_duration_seconds', commit = 'etcd_disk_backend_commit_duration_seconds';

function sample(now, before) {
  const count = (f, kinds) => kinds.reduce((n, k) => n + (f.requests[k] ? f.requests[k].count : 0), 0);
  const of = (f, kinds) => together(kinds.map((k) => f.requests[k]).filter(Boolean));
  const v = now.values;
  const out = { at: now.at, watchers: v.etcd_debugging_mvcc_watcher_total || 0, slow: v.etcd_debugging_mvcc_slow_watcher_total || 0,
    size: v.etcd_mvcc_db_total_size_in_bytes, used: v.etcd_mvcc_db_total_size_in_use_in_bytes, memory: v.process_resident_memory_bytes || null };
  if (!before || now.at <= before.at) return null;
  const seconds = (now.at - before.at) / 1000;
  const rate = (name) => Math.max(0, ((v[name] || 0) - (before.values[name] || 0)) / seconds);
  const quantiles = (name, x, y) => {
    out[name + 50] = quantile(0.5, y, x);
    out[name + 99] = quantile(0.99, y, x);
  };
  out.reads = Math.max(0, count(now, reads) - count(before, reads)) / seconds;
  out.writes = Math.max(0, count(now, writes) - count(before, writes)) / seconds;
  quantiles('read', of(now, reads), of(before, reads));
  quantiles('write', of(now, writes), of(before, writes));
  quantiles('fsync', now.others[fsync], before.others[fsync]);
  quantiles('commit', now.others[commit], before.others[commit]);
  out.received = rate('etcd_network_client_grpc_received_bytes_total');
  out.sent = rate('etcd_network_client_grpc_sent_bytes_total');
  out.events = rate('etcd_debugging_mvcc_events_total');
  out.cpu = rate('process_cpu_seconds_total') * 100;
  return out;
}

const p = (name) => [`p50`, `p99`].map((x) => `${name} ${x}`);

export async function show(root, _params, signal) {
  const rates = (n) => `${number(n)}/s`;
  const charts = [
    [plot(t('Requests'), [t('reads'), t('writes')], rates, span), ['reads', 'writes']],
    [plot(t('Latency of reads'), p(t('reads')), duration, span), ['read50', 'read99']],
    [plot(t('Latency of writes'), p(t('writes')), duration, span), ['write50', 'write99']],
    [plot(t('Log syncs (fsync)'), p('fsync'), duration, span), ['fsync50', 'fsync99']],
    [plot(t('Watchers'), [t('watchers'), t('behind')], number, span), ['watchers', 'slow']],
    [plot(t('Events sent'), [t('events')], rates, span), ['events']],
    [plot(t('Size'), [t('on disk'), t('in use')], size, span, true), ['size', 'used']],
    [plot(t('Traffic'), [t('received'), t('sent')], (n) => `${size(n)}/s`, span, true), ['received', 'sent']],
    [plot(t('Memory'), [t('resident')], size, span, true), ['memory']],
    [plot(t('Processor'), ['CPU'], (n) => `${number(n)} %`, span), ['cpu']],
  ];
  const trouble = h('div');
  root.append(h('h1', {}, t('Charts')), h('p', { class: 'quiet' }, t('Of the member that serves this page, while the page is open.')), trouble,
    h('div', { class: 'charts' }, charts.map(([c]) => c.root)));
  const draw = () => {
    if (!samples.length) return;
    const times = samples.map((x) => x.at);
    for (const [chart, names] of charts) chart.update(times, names.map((n) => samples.map((x) => x[n] ?? null)));
  };
  draw();
  let before = null;
  every(pace, signal, async () => {
    try {
      const now = await ask('figures', {}, signal);
      const next = sample(now, before);
      before = now;
      if (next) samples.push(next);
      while (samples.length && samples[0].at < now.at - span - pace) samples.shift();
      trouble.replaceChildren();
      draw();
    } catch (e) {
      if (!signal.aborted) trouble.replaceChildren(problem(e));
    }
  });
}
