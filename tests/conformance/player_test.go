package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	callPatience = 10 * time.Second
	recvPatience = 6 * time.Second
	// slack is what a server streaming call may take beyond its own deadline.
	slack = 2 * time.Second
)

// perform performs one step. Its result is nil if the step has none.
func (p *player) perform(s *step) (object, error) {
	switch {
	case s.SleepMS > 0:
		time.Sleep(milliseconds(s.SleepMS))
		return nil, nil
	case s.Crash > 0:
		return nil, p.members[s.Crash-1].Crash()
	case s.Restart > 0:
		return nil, p.members[s.Restart-1].Restart()
	case s.Open != "":
		if err := p.level(s); err != nil {
			return nil, err
		}
		opened, err := p.start(s)
		if err == nil {
			p.streams[s.Open] = opened
		}
		return nil, err
	case s.Call != "":
		if err := p.level(s); err != nil {
			return nil, err
		}
		return p.call(s)
	}
	name := s.Send + s.Recv + s.Close + s.Cancel
	st := p.streams[name]
	if st == nil {
		return nil, fmt.Errorf("no stream is called %q", name)
	}
	switch {
	case s.Send != "":
		request, err := p.request(s, st.method)
		if err != nil {
			return nil, err
		}
		return nil, st.client.SendMsg(request)
	case s.Recv != "":
		return p.result(s, st.method, s.receive(st))
	case s.Close != "":
		return nil, st.client.CloseSend()
	}
	st.cancel()
	return nil, nil
}

// call makes a call as often as the step says, or until it fails, and gives the
// last result.
func (p *player) call(s *step) (object, error) {
	m, err := findMethod(s.Call)
	if err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		if s.Repeat > 0 {
			p.names.repetition(i)
		}
		b, err := p.callOnce(s, m)
		if err != nil {
			return nil, err
		}
		if b.failed() || i+1 >= s.Repeat {
			return p.result(s, m, b)
		}
	}
}

func (p *player) callOnce(s *step, m *method) (b batch, err error) {
	if m.unary() {
		b, err = p.callUnary(s, m)
	} else {
		st, err := p.start(s)
		if err != nil {
			return b, err
		}
		defer st.cancel()
		b = st.take(s.patience(callPatience)+slack, toTheEnd)
	}
	if s.TimeoutMS == 0 && status.Code(b.end) == codes.DeadlineExceeded {
		b.timeout = true // the deadline was ours, not the scenario's
	}
	return b, err
}

func (p *player) callUnary(s *step, m *method) (b batch, err error) {
	request, err := p.request(s, m)
	if err != nil {
		return b, err
	}
	ctx, err := p.withMetadata(s)
	if err != nil {
		return b, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience(callPatience))
	defer cancel()
	response := m.newResponse()
	if b.end = p.at(s).Invoke(ctx, m.path, request, response); b.end == nil {
		p.show(s.member(), response)
		b.messages, b.end = []proto.Message{response}, io.EOF
	}
	return b, nil
}

// start begins a streaming call. A request that the step has is sent at once.
func (p *player) start(s *step) (*stream, error) {
	m, err := findMethod(s.Call)
	if err != nil {
		return nil, err
	}
	ctx, err := p.withMetadata(s)
	if err != nil {
		return nil, err
	}
	var cancel context.CancelFunc
	if s.Open == "" || s.TimeoutMS > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.patience(callPatience))
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	client, err := p.at(s).NewStream(ctx, m.stream(), m.path)
	if err == nil && (len(s.Request) > 0 || !m.clientStream) {
		var request proto.Message
		if request, err = p.request(s, m); err == nil {
			err = client.SendMsg(request)
		}
		if errors.Is(err, io.EOF) {
			err = nil // the server has ended the stream: reading tells why
		}
	}
	if err == nil && !m.clientStream {
		err = client.CloseSend()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return newStream(m, client, cancel), nil
}

// receive reads what a Recv step asks for.
func (s *step) receive(st *stream) batch {
	switch {
	case s.SilenceMS > 0:
		b := st.take(milliseconds(s.SilenceMS), toTheEnd)
		b.timeout = false
		return b
	case s.ToEnd:
		return st.take(s.patience(recvPatience), toTheEnd)
	case s.Events > 0:
		return st.take(s.patience(recvPatience), func(have []proto.Message) bool { return countEvents(have) >= s.Events })
	}
	return st.take(s.patience(recvPatience), func(have []proto.Message) bool { return len(have) >= max(1, s.Count) })
}

// request is the step's request message.
func (p *player) request(s *step, m *method) (proto.Message, error) {
	request := m.request.New()
	if len(s.Request) == 0 {
		return request.Interface(), nil
	}
	fields, err := decode(s.Request)
	if err != nil {
		return nil, err
	}
	return request.Interface(), p.names.fill(request, fields)
}

// withMetadata is a context that carries the step's metadata.
func (p *player) withMetadata(s *step) (context.Context, error) {
	md := metadata.MD{}
	for key, value := range s.Metadata {
		value, err := p.names.expand(value)
		if err != nil {
			return nil, err
		}
		md.Set(key, value)
	}
	if s.As != "" {
		token, err := p.names.expand("$" + s.As)
		if err != nil {
			return nil, err
		}
		md.Set("token", token)
	}
	return metadata.NewOutgoingContext(context.Background(), md), nil
}

// result renders what arrived, after binding the names that the step saves.
func (p *player) result(s *step, m *method, b batch) (object, error) {
	out := object{}
	if len(b.messages) > 0 {
		if err := p.save(s.Save, b.messages[len(b.messages)-1]); err != nil {
			return nil, err
		}
	} else if len(s.Save) > 0 && !b.failed() {
		return nil, errors.New("nothing came to save from")
	}
	switch {
	case s.Events > 0:
		p.names.judgeWatch(b.messages, out)
	case m.is("KV/RangeStream") || m.is("Maintenance/Snapshot") || m.unary():
		if len(b.messages) > 0 {
			p.whole(m, b.messages, out)
		}
	default:
		responses := []any{}
		for _, message := range b.messages {
			responses = append(responses, p.names.render(message.ProtoReflect()))
		}
		out["responses"] = responses
	}
	switch {
	case b.timeout:
		out["timeout"] = "gave up waiting"
	case b.end == io.EOF && !m.unary():
		out["end"] = "OK"
	case b.end != nil && b.end != io.EOF:
		st := status.Convert(b.end)
		out["error"] = object{"code": st.Code().String(), "message": p.names.fold(st.Message())}
	}
	if s.Brief {
		brief(out)
	}
	return out, nil
}

// whole renders an answer that is one thing, in however many messages it came.
func (p *player) whole(m *method, messages []proto.Message, out object) {
	switch {
	case m.is("KV/RangeStream"):
		p.names.judgeRange(messages).result(out)
	case m.is("Maintenance/Snapshot"):
		judgeSnapshot(messages).result(out)
	default:
		out["response"] = p.names.render(messages[0].ProtoReflect())
	}
}

// save binds names to fields of an answer.
func (p *player) save(paths map[string]string, from proto.Message) error {
	for name, path := range paths {
		value, ok := find(from.ProtoReflect(), strings.Split(path, "."))
		if !ok {
			return fmt.Errorf("the answer has no %s to save", path)
		}
		p.names.bind(name, value)
	}
	return nil
}

// find follows a path like kvs.0.lease to a field that is set.
func find(m protoreflect.Message, path []string) (string, bool) {
	field := m.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	if field == nil || !m.Has(field) {
		return "", false
	}
	value, path := m.Get(field), path[1:]
	if field.IsList() {
		if len(path) == 0 {
			return "", false
		}
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= value.List().Len() {
			return "", false
		}
		value, path = value.List().Get(i), path[1:]
	}
	switch {
	case field.Kind() == protoreflect.MessageKind:
		if len(path) == 0 {
			return "", false
		}
		return find(value.Message(), path)
	case len(path) > 0:
		return "", false
	case field.Kind() == protoreflect.BytesKind:
		return string(value.Bytes()), true
	}
	return value.String(), true
}

func (s *step) patience(usual time.Duration) time.Duration {
	if s.TimeoutMS > 0 {
		return milliseconds(s.TimeoutMS)
	}
	return usual
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
