package proxy

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// forwarder passes calls on that the proxy need not understand, message by message.
type forwarder struct {
	conn grpc.ClientConnInterface
}

// forward serves a call by making the same to the cluster, on behalf of who has made it.
func (f *forwarder) forward(_ any, in grpc.ServerStream) error {
	path, ok := grpc.MethodFromServerStream(in)
	if !ok || !passable(path) {
		return status.Errorf(codes.Unimplemented, "unknown method %s", path)
	}
	ctx, cancel := context.WithCancel(onBehalf(in.Context()))
	defer cancel()
	out, err := f.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, path, grpc.ForceCodecV2(codec{}))
	if err != nil {
		return err
	}
	go func() {
		if passRequests(in, out) != nil {
			cancel()
		}
	}()
	return passAnswers(in, out)
}

// passRequests ends with the client's requests, or when the call has ended.
func passRequests(in grpc.ServerStream, out grpc.ClientStream) error {
	for {
		var m frame
		err := in.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return out.CloseSend()
		}
		if err == nil {
			err = out.SendMsg(&m)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil // the cluster has ended the call: passAnswers learns why
		case err != nil:
			return err
		}
	}
}

func passAnswers(in grpc.ServerStream, out grpc.ClientStream) error {
	header, err := out.Header()
	if err != nil {
		return err
	}
	if err := in.SetHeader(header); err != nil {
		return err
	}
	for {
		var m frame
		if err := out.RecvMsg(&m); err != nil {
			in.SetTrailer(out.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := in.SendMsg(&m); err != nil {
			return err
		}
	}
}
