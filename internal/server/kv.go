package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of etcdserverpb.InternalRaftRequest.
const (
	fieldPut         = 4
	fieldDeleteRange = 5
	fieldTxn         = 6
	fieldHeader      = 100
)

// answer puts the header before the fields of a result.
func (s *Server) answer(r fsm.Result) *wire.Answer {
	a := new(wire.Answer)
	a.Reserve(len(r.Body) + 64)
	a.Header(s.Header(r.Revision))
	a.Write(r.Body)
	return a
}

// wrap encodes an InternalRaftRequest around an encoded request, so that what
// the client sent is not encoded again.
func wrap(field protowire.Number, raw []byte) encoder {
	return func(h header) ([]byte, error) {
		b := make([]byte, 0, len(raw)+len(h.who.User)+48)
		b = protowire.AppendTag(b, field, protowire.BytesType)
		b = protowire.AppendBytes(b, raw)
		var room [64]byte
		head := protowire.AppendVarint(append(room[:0], 1<<3), h.id)
		if h.who.User != "" {
			head = protowire.AppendString(append(head, 2<<3|2), h.who.User)
		}
		if h.who.Revision != 0 {
			head = protowire.AppendVarint(append(head, 3<<3), h.who.Revision)
		}
		b = protowire.AppendTag(b, fieldHeader, protowire.BytesType)
		return protowire.AppendBytes(b, head), nil
	}
}

// message encodes an InternalRaftRequest of any other kind.
func message(req *pb.InternalRaftRequest) encoder {
	return func(h header) ([]byte, error) {
		req.Header = &pb.RequestHeader{ID: h.id, Username: h.who.User, AuthRevision: h.who.Revision}
		return proto.Marshal(req)
	}
}

// Range answers a range request with an encoded RangeResponse.
func (s *Server) Range(ctx context.Context, req *pb.RangeRequest) (*wire.Answer, error) {
	return s.rangeFor(ctx, req, false)
}

// Probe reads a key, whose answer nobody sees, to tell that this member can. It asks
// nobody who they are.
func (s *Server) Probe(ctx context.Context, serializable bool) error {
	a, err := s.rangeFor(ctx, &pb.RangeRequest{Key: []byte{0}, Limit: 1, KeysOnly: true, Serializable: serializable}, true)
	if err == nil {
		a.Release()
	}
	return err
}

func (s *Server) rangeFor(ctx context.Context, req *pb.RangeRequest, trusted bool) (*wire.Answer, error) {
	if err := checkRange(req); err != nil {
		return nil, err
	}
	if !req.Serializable {
		if err := s.readIndex(ctx); err != nil {
			return nil, err
		}
	}
	for {
		view := s.view()
		if !trusted {
			if err := s.mayRead(ctx, req); err != nil {
				return nil, err
			}
		}
		a := new(wire.Answer)
		a.Header(s.Header(view.Revision()))
		err := view.Range(ctx, req, a)
		if err == nil {
			return a, nil
		}
		a.Release()
		if !errors.Is(err, mvcc.ErrViewStale) {
			return nil, s.dear(err)
		}
	}
}

// RangeStream answers a range request in chunks; each is an encoded
// RangeStreamResponse.
func (s *Server) RangeStream(ctx context.Context, req *pb.RangeRequest, send func(*wire.Answer) error) error {
	if err := checkRange(req); err != nil {
		return err
	}
	if err := checkStream(req); err != nil {
		return err
	}
	if !req.Serializable {
		if err := s.readIndex(ctx); err != nil {
			return err
		}
	}
	for {
		view := s.store.View()
		if err := s.mayRead(ctx, req); err != nil {
			return err
		}
		sent := false
		err := view.Stream(ctx, req, s.cfg.MaxRequestBytes, func(a *wire.Answer, last bool) error {
			sent = true
			return send(s.streamChunk(view, a, last))
		})
		if !errors.Is(err, mvcc.ErrViewStale) {
			return err
		}
		if sent {
			return mvcc.ErrCompacted // the revision that was pinned is gone
		}
	}
}

// streamChunk wraps the fields of a RangeResponse into a RangeStreamResponse,
// the last one with a header.
func (s *Server) streamChunk(view mvcc.View, body *wire.Answer, last bool) *wire.Answer {
	const tagRangeResponse = 1<<3 | 2
	var head []byte
	if last {
		head = s.Header(view.Revision()).AppendField(nil)
	}
	out := new(wire.Answer)
	lead := protowire.AppendVarint([]byte{tagRangeResponse}, uint64(len(head)+body.Len()))
	out.Write(append(lead, head...))
	out.Append(body)
	return out
}

// Put applies a put; raw is its encoding.
func (s *Server) Put(ctx context.Context, req *pb.PutRequest, raw []byte) (*wire.Answer, error) {
	if err := s.hasSpace(ctx, putCost(req)); err != nil {
		return nil, err
	}
	if err := checkPut(req); err != nil {
		return nil, err
	}
	r, err := s.ask(ctx, req, wrap(fieldPut, raw))
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

// DeleteRange applies a deletion; raw is its encoding.
func (s *Server) DeleteRange(ctx context.Context, req *pb.DeleteRangeRequest, raw []byte) (*wire.Answer, error) {
	if err := checkDeleteRange(req); err != nil {
		return nil, err
	}
	if err := s.affordable(ctx, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: req}}); err != nil {
		return nil, err
	}
	r, err := s.ask(ctx, req, wrap(fieldDeleteRange, raw))
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

// Txn applies a transaction, or reads if it only reads; raw is its encoding.
func (s *Server) Txn(ctx context.Context, req *pb.TxnRequest, raw []byte) (*wire.Answer, error) {
	if err := s.hasSpace(ctx, txnCost(req)); err != nil {
		return nil, err
	}
	if err := checkTxn(req, s.cfg.MaxTxnOps); err != nil {
		return nil, err
	}
	if mvcc.ReadOnly(req) {
		return s.readTxn(ctx, req)
	}
	if err := s.affordable(ctx, &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: req}}); err != nil {
		return nil, err
	}
	r, err := s.ask(ctx, req, wrap(fieldTxn, raw))
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

// readTxn answers a read-only transaction. It is linearizable unless all its
// ranges are serializable; one without any counts as serializable, as in etcd.
func (s *Server) readTxn(ctx context.Context, req *pb.TxnRequest) (*wire.Answer, error) {
	serializable := true
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		for _, op := range ops {
			serializable = serializable && op.GetRequestRange().GetSerializable()
		}
	}
	if !serializable {
		if err := s.readIndex(ctx); err != nil {
			return nil, err
		}
	}
	for {
		view := s.view()
		if err := s.mayRead(ctx, req); err != nil {
			return nil, err
		}
		body, err := view.ReadTxn(ctx, req)
		if err == nil {
			return s.answer(fsm.Result{Revision: view.Revision(), Body: body}), nil
		}
		if !errors.Is(err, mvcc.ErrViewStale) {
			return nil, s.dear(err)
		}
	}
}

// Compact schedules a compaction; if it is to be physical, it waits for it.
func (s *Server) Compact(ctx context.Context, req *pb.CompactionRequest) (*wire.Answer, error) {
	r, err := s.propose(ctx, message(&pb.InternalRaftRequest{Compaction: req}))
	if r.Done != nil {
		select {
		case <-r.Done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		r.Revision = s.store.Revision()
	}
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

// hasSpace refuses a request that the store has no room for, and raises the alarm
// of this member the first time.
func (s *Server) hasSpace(ctx context.Context, cost int64) error {
	if s.space.fits(cost, time.Now()) {
		return nil
	}
	err := s.raiseNoSpace(ctx)
	if err != nil {
		return fmt.Errorf("etcdserver: raise the NOSPACE alarm: %w", err)
	}
	return fsm.ErrNoSpace
}
