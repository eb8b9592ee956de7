package member

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bowline/internal/testkit"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// missing are the metrics of etcd that we do not have, each with the reason: a
// capability that it waits for, or why it would mean nothing here.
var missing = map[string]string{
	"etcd_debugging_disk_backend_commit_rebalance_duration_seconds": "a phase of bbolt's commits",
	"etcd_debugging_disk_backend_commit_spill_duration_seconds":     "a phase of bbolt's commits",
	"etcd_debugging_disk_backend_commit_write_duration_seconds":     "a phase of bbolt's commits",

	"etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds": "there is no index in memory to compact",

	"etcd_debugging_server_watch_send_loop_control_stream_duration_seconds":         "would cost a few per cent of an event",
	"etcd_debugging_server_watch_send_loop_progress_duration_seconds":               "would cost a few per cent of an event",
	"etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds": "would cost a few per cent of an event",
	"etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds":           "would cost a few per cent of an event",
	"etcd_debugging_snap_save_marshalling_duration_seconds":                         "there are no raft snapshot files",
	"etcd_debugging_snap_save_total_duration_seconds":                               "there are no raft snapshot files",
	"etcd_snap_fsync_duration_seconds":                                              "there are no raft snapshot files",
	"etcd_grpc_proxy_cache_hits_total":                                              "always 0 in a server: the proxy's own",
	"etcd_grpc_proxy_cache_keys_total":                                              "always 0 in a server: the proxy's own",
	"etcd_grpc_proxy_cache_misses_total":                                            "always 0 in a server: the proxy's own",
	"etcd_grpc_proxy_events_coalescing_total":                                       "always 0 in a server: the proxy's own",
	"etcd_grpc_proxy_watchers_coalescing_total":                                     "always 0 in a server: the proxy's own",
	"etcd_network_active_peers":                                                     lonely,
	"etcd_network_disconnected_peers_total":                                         lonely,
	"etcd_network_peer_received_bytes_total":                                        lonely,
	"etcd_network_peer_received_failures_total":                                     lonely,
	"etcd_network_peer_round_trip_time_seconds":                                     lonely,
	"etcd_network_peer_sent_bytes_total":                                            lonely,
	"etcd_network_peer_sent_failures_total":                                         lonely,
	"etcd_network_snapshot_receive_failures":                                        lonelyStates,
	"etcd_network_snapshot_receive_inflights_total":                                 lonelyStates,
	"etcd_network_snapshot_receive_success":                                         lonelyStates,
	"etcd_network_snapshot_receive_total_duration_seconds":                          lonelyStates,
	"etcd_network_snapshot_send_failures":                                           lonelyStates,
	"etcd_network_snapshot_send_inflights_total":                                    lonelyStates,
	"etcd_network_snapshot_send_success":                                            lonelyStates,
	"etcd_network_snapshot_send_total_duration_seconds":                             lonelyStates,
	"etcd_server_learner_promote_failures":                                          lonely,
}

const (
	lonely       = "comes with other members; see TestMetricsOfPeers"
	lonelyStates = "comes with a state that is moved; see TestMetricsOfStates"
)

// notProvoked are metrics that we have, but that appear only when something goes
// wrong that this test does not do.
var notProvoked = map[string]bool{"etcd_network_server_stream_failures_total": true,
	"etcd_debugging_store_reads_total": true, "etcd_debugging_store_reads_failed_total": true, "etcd_debugging_store_writes_failed_total": true}

// TestMetricsAreEtcds compares what a member shows with the recorded list of
// etcd's metrics.
func TestMetricsAreEtcds(t *testing.T) {
	cfg := testConfig(t)
	cfg.ExtensiveMetrics = true
	m := startMember(t, cfg)
	useEverything(t, m)
	shown := scrape(t, m)
	recorded := recordedMetrics(t)
	for _, want := range recorded {
		family, have := shown[want.name]
		switch why := missing[want.name]; {
		case have && why != "":
			t.Errorf("%s is there: take it out of the table of what is missing", want.name)
		case !have && why == "" && !notProvoked[want.name]:
			t.Errorf("%s is missing: add it, or tell the reason in the table", want.name)
		case have:
			if got := describeFamily(family); got != want {
				t.Errorf("%s is %+v, in etcd %+v", want.name, got, want)
			}
		}
		delete(shown, want.name)
	}
	for name := range shown {
		if !strings.HasPrefix(name, "bowline_") && !strings.HasPrefix(name, "go_") {
			t.Errorf("%s is not a metric of etcd's: ours begin with bowline_", name)
		}
	}
	for name := range missing {
		if !slices.ContainsFunc(recorded, func(r recordedMetric) bool { return r.name == name }) {
			t.Errorf("%s stands in the table of what is missing, but etcd has no such metric", name)
		}
	}
}

// TestMissingMetricsAreWrittenDown holds the page about differences to the table.
func TestMissingMetricsAreWrittenDown(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "compat.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## Metrics that are not there\n")
	if !ok {
		t.Fatal("the page has no section about them")
	}
	for name, why := range missing {
		told := strings.Contains(section, "`"+name+"`")
		if here := why == lonely || why == lonelyStates; here == told {
			t.Errorf("%s: told of as missing is %t, there with more members is %t", name, told, here)
		}
	}
}

// useEverything does each thing once of which a metric tells.
func useEverything(t *testing.T, m *Member) {
	t.Helper()
	ctx, conn := t.Context(), dial(t, m)
	kv, leases, ops := pb.NewKVClient(conn), pb.NewLeaseClient(conn), pb.NewMaintenanceClient(conn)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := []byte("k")
	must(kv.Put(ctx, &pb.PutRequest{Key: key, Value: []byte("v")}))
	must(kv.Range(ctx, &pb.RangeRequest{Key: key}))
	must(kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}}}))
	must(kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key}))
	must(kv.Compact(ctx, &pb.CompactionRequest{Revision: 2, Physical: true}))
	must(leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60, ID: 1}))
	must(leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 1}))
	must(ops.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: m.ID(), Alarm: pb.AlarmType_NOSPACE}))
	must(ops.HashKV(ctx, &pb.HashKVRequest{}))
	must(ops.Defragment(ctx, &pb.DefragmentRequest{}))
	for _, path := range []string{"/health", "/livez", "/readyz", "/metrics"} {
		get(t, m, path)
	}
}

// get reads a page of a member.
func get(t *testing.T, m *Member, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.clientAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func scrape(t *testing.T, m *Member) map[string]*dto.MetricFamily {
	t.Helper()
	status, text := get(t, m, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics answers %d: %s", status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// recordedMetric is a line of the recorded list.
type recordedMetric struct{ name, kind, labels, buckets string }

func recordedMetrics(t *testing.T) []recordedMetric {
	t.Helper()
	f, err := os.Open("testdata/etcd-metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []recordedMetric
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimPrefix(lines.Text(), "!")
		if strings.HasPrefix(line, "#") {
			continue
		}
		var r recordedMetric
		if _, err := fmt.Sscan(line, &r.name, &r.kind, &r.labels, &r.buckets); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

// describeFamily writes down a metric as the recorded list does.
func describeFamily(f *dto.MetricFamily) recordedMetric {
	labels := make(map[string]bool)
	var bounds []float64
	for _, series := range f.Metric {
		for _, l := range series.Label {
			labels[l.GetName()] = true
		}
		bounds = bounds[:0]
		for _, b := range series.GetHistogram().GetBucket() {
			if le := b.GetUpperBound(); le < 1e300 {
				bounds = append(bounds, le)
			}
		}
	}
	r := recordedMetric{name: f.GetName(), kind: strings.ToLower(f.GetType().String()), labels: "-", buckets: "-"}
	if len(labels) > 0 {
		r.labels = strings.Join(slices.Sorted(maps.Keys(labels)), ",")
	}
	if len(bounds) > 0 {
		r.buckets = describeBounds(bounds)
	}
	return r
}

func describeBounds(bounds []float64) string {
	var texts []string
	doubling := true
	for i, b := range bounds {
		texts = append(texts, fmt.Sprintf("%g", b))
		doubling = doubling && (i == 0 || b > 1.999*bounds[i-1] && b < 2.001*bounds[i-1])
	}
	if doubling {
		return fmt.Sprintf("%gx%d", bounds[0], len(bounds))
	}
	return strings.Join(texts, ",")
}

// TestMetricsCount looks at the figures themselves, after known requests.
func TestMetricsCount(t *testing.T) {
	m := startMember(t, testConfig(t))
	conn := dial(t, m)
	kv := pb.NewKVClient(conn)
	for i := range 3 {
		if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte{'a' + byte(i)}, Value: []byte("1234")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kv.Range(t.Context(), &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z")}); err != nil {
		t.Fatal(err)
	}
	watchOneEvent(t, conn)
	shown := scrape(t, m)
	for name, want := range map[string]float64{
		"etcd_server_has_leader": 1, "etcd_server_is_leader": 1, "etcd_server_is_learner": 0,
		"etcd_server_leader_changes_seen_total": 1, "etcd_server_proposals_pending": 0, "etcd_server_proposals_failed_total": 0,
		"etcd_server_slow_apply_total": 0, "etcd_server_quota_backend_bytes": 2 << 30,
		"etcd_mvcc_put_total": 3, "etcd_mvcc_range_total": 1, "etcd_mvcc_delete_total": 0, "etcd_mvcc_txn_total": 0,
		"etcd_debugging_mvcc_keys_total": 3, "etcd_debugging_mvcc_current_revision": 4, "etcd_debugging_mvcc_compact_revision": -1,
		"etcd_debugging_mvcc_total_put_size_in_bytes": 15, "etcd_debugging_mvcc_events_total": 1,
		"etcd_debugging_mvcc_watch_stream_total": 1, "etcd_debugging_mvcc_watcher_total": 1,
		"etcd_debugging_auth_revision": 1, "etcd_disk_defrag_inflight": 0,
	} {
		series := shown[name].GetMetric()
		if len(series) != 1 {
			t.Errorf("%s has %d series, want 1", name, len(series))
			continue
		}
		if got := series[0].GetGauge().GetValue() + series[0].GetCounter().GetValue(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, labels := range map[string]string{
		"etcd_server_apply_duration_seconds":   "op=Put success=true version=v3",
		"etcd_server_request_duration_seconds": "success=true type=Put",
	} {
		if n := countOf(shown[name], labels); n != 3 {
			t.Errorf("%s{%s} has counted %d, want 3", name, labels, n)
		}
	}
	if n := countOf(shown["etcd_server_range_duration_seconds"], "success=true"); n != 1 {
		t.Errorf("ranges counted: %d, want 1", n)
	}
}

// watchOneEvent watches the first key from its beginning until the event has come;
// the stream stays open until the test ends.
func watchOneEvent(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	w, err := pb.NewWatchClient(conn).Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 2}
	if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		t.Fatal(err)
	}
	for events := 0; events == 0; {
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		events += len(r.Events)
	}
}

func countOf(f *dto.MetricFamily, labels string) uint64 {
	for _, series := range f.GetMetric() {
		var texts []string
		for _, l := range series.Label {
			texts = append(texts, l.GetName()+"="+l.GetValue())
		}
		if slices.Sort(texts); strings.Join(texts, " ") == labels {
			return series.GetHistogram().GetSampleCount()
		}
	}
	return 0
}
