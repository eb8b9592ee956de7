package ctl

import (
	"fmt"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"bowline/internal/cli"
)

// writeHeader writes the fields of a response header. Answers that the client
// library puts together itself have none; they show zeros.
func writeHeader(w *cli.FieldWriter, h *pb.ResponseHeader) {
	w.ID("ClusterID", h.GetClusterId())
	w.ID("MemberID", h.GetMemberId())
	if h.GetRevision() > 0 {
		w.Value("Revision", h.GetRevision())
	}
	w.Value("RaftTerm", h.GetRaftTerm())
}

// headerOnly is the fields form of an answer that holds nothing else.
func headerOnly(h *pb.ResponseHeader) func(*cli.FieldWriter) {
	return func(w *cli.FieldWriter) { writeHeader(w, h) }
}

// writeKV writes the fields of a key-value; prefix is "Prev" for previous ones.
func writeKV(w *cli.FieldWriter, prefix string, kv *mvccpb.KeyValue) {
	w.Quoted(prefix+"Key", string(kv.GetKey()))
	w.Value(prefix+"CreateRevision", kv.GetCreateRevision())
	w.Value(prefix+"ModRevision", kv.GetModRevision())
	w.Value(prefix+"Version", kv.GetVersion())
	w.Quoted(prefix+"Value", string(kv.GetValue()))
	w.LeaseID(prefix+"Lease", kv.GetLease())
}

// textKV writes a key and its value on a line each.
func textKV(w *cli.TextWriter, kv *mvccpb.KeyValue) {
	w.Bytes(kv.GetKey())
	w.Bytes(kv.GetValue())
}

// message is an RPC's answer that carries a header.
type message interface {
	proto.Message
	GetHeader() *pb.ResponseHeader
}

// answer is the result of a command that has one line to say about an answer,
// in all formats but a table.
func answer(m message, format string, args ...any) cli.Result {
	r := answerWithoutFields(m, format, args...)
	r.Fields = headerOnly(m.GetHeader())
	return r
}

// answerWithoutFields is answer for the commands that have no fields form.
func answerWithoutFields(m message, format string, args ...any) cli.Result {
	r := cli.Text(format, args...)
	r.JSON, r.Proto = m, m
	return r
}

// hexID is the short form of a member or cluster ID.
func hexID(id uint64) string { return strconv.FormatUint(id, 16) }

// leaseText is the form of a lease ID in text.
func leaseText(id clientv3.LeaseID) string { return fmt.Sprintf("%016x", int64(id)) }

// simpleRows is the simple form of a table: its rows, with commas.
func simpleRows(t *cli.Table) func(*cli.TextWriter) {
	return func(w *cli.TextWriter) {
		for _, row := range t.Rows {
			w.Linef("%s", strings.Join(row, ", "))
		}
	}
}
