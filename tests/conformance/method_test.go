package conformance

import (
	"fmt"
	"strings"

	_ "go.etcd.io/etcd/api/v3/etcdserverpb" // describes most services
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/health/grpc_health_v1" // describes Health
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	_ "bowline/internal/rpc/electionpb" // describes Election
	_ "bowline/internal/rpc/lockpb"     // describes Lock
)

// method is one RPC.
type method struct {
	path         string
	request      protoreflect.MessageType
	response     protoreflect.MessageType
	clientStream bool
	serverStream bool
}

func (m *method) unary() bool { return !m.clientStream && !m.serverStream }

func (m *method) is(name string) bool { return strings.HasSuffix(m.path, name) }

func (m *method) stream() *grpc.StreamDesc {
	return &grpc.StreamDesc{ClientStreams: m.clientStream, ServerStreams: m.serverStream}
}

func (m *method) newResponse() proto.Message { return m.response.New().Interface() }

// findMethod finds "KV/Put". With a slash in front the name is a full path, and
// may be one that no server has: such a call sends an empty message.
func findMethod(call string) (*method, error) {
	path, full := strings.CutPrefix(call, "/")
	service, name, ok := strings.Cut(path, "/")
	if !ok {
		return nil, fmt.Errorf("%q is not Service/Method", call)
	}
	packages := []string{"etcdserverpb.", "v3lockpb.", "v3electionpb.", "grpc.health.v1."}
	if full {
		packages = []string{""}
	}
	for _, pkg := range packages {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(pkg + service))
		if err != nil {
			continue
		}
		described, ok := found.(protoreflect.ServiceDescriptor)
		if !ok {
			continue
		}
		if rpc := described.Methods().ByName(protoreflect.Name(name)); rpc != nil {
			return describe("/"+pkg+service+"/"+name, rpc)
		}
	}
	if !full {
		return nil, fmt.Errorf("no service has %s", call)
	}
	empty := (&emptypb.Empty{}).ProtoReflect().Type()
	return &method{path: call, request: empty, response: empty}, nil
}

func describe(path string, rpc protoreflect.MethodDescriptor) (*method, error) {
	request, err := protoregistry.GlobalTypes.FindMessageByName(rpc.Input().FullName())
	if err != nil {
		return nil, err
	}
	response, err := protoregistry.GlobalTypes.FindMessageByName(rpc.Output().FullName())
	if err != nil {
		return nil, err
	}
	return &method{path, request, response, rpc.IsStreamingClient(), rpc.IsStreamingServer()}, nil
}
