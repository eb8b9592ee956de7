package security

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// gatewayPaths says where the JSON gateway has each call; "" is nowhere, as in etcd.
var gatewayPaths = map[string][]string{
	"/etcdserverpb.KV/Range":       {"/v3/kv/range"},
	"/etcdserverpb.KV/RangeStream": nil,
	"/etcdserverpb.KV/Put":         {"/v3/kv/put"},
	"/etcdserverpb.KV/DeleteRange": {"/v3/kv/deleterange"},
	"/etcdserverpb.KV/Txn":         {"/v3/kv/txn"},
	"/etcdserverpb.KV/Compact":     {"/v3/kv/compaction"},
	"/etcdserverpb.Watch/Watch":    {"/v3/watch"},

	"/etcdserverpb.Lease/LeaseGrant":      {"/v3/lease/grant"},
	"/etcdserverpb.Lease/LeaseRevoke":     {"/v3/lease/revoke", "/v3/kv/lease/revoke"},
	"/etcdserverpb.Lease/LeaseKeepAlive":  {"/v3/lease/keepalive"},
	"/etcdserverpb.Lease/LeaseTimeToLive": {"/v3/lease/timetolive", "/v3/kv/lease/timetolive"},
	"/etcdserverpb.Lease/LeaseLeases":     {"/v3/lease/leases", "/v3/kv/lease/leases"},

	"/etcdserverpb.Cluster/MemberAdd":     {"/v3/cluster/member/add"},
	"/etcdserverpb.Cluster/MemberRemove":  {"/v3/cluster/member/remove"},
	"/etcdserverpb.Cluster/MemberUpdate":  {"/v3/cluster/member/update"},
	"/etcdserverpb.Cluster/MemberPromote": {"/v3/cluster/member/promote"},
	"/etcdserverpb.Cluster/MemberList":    {"/v3/cluster/member/list"},

	"/etcdserverpb.Maintenance/Alarm":      {"/v3/maintenance/alarm"},
	"/etcdserverpb.Maintenance/Status":     {"/v3/maintenance/status"},
	"/etcdserverpb.Maintenance/Defragment": {"/v3/maintenance/defragment"},
	"/etcdserverpb.Maintenance/Hash":       {"/v3/maintenance/hash"},
	"/etcdserverpb.Maintenance/HashKV":     {"/v3/maintenance/hashkv"},
	"/etcdserverpb.Maintenance/Snapshot":   {"/v3/maintenance/snapshot"},
	"/etcdserverpb.Maintenance/MoveLeader": {"/v3/maintenance/transfer-leadership"},
	"/etcdserverpb.Maintenance/Downgrade":  {"/v3/maintenance/downgrade"},

	"/etcdserverpb.Auth/AuthEnable":           {"/v3/auth/enable"},
	"/etcdserverpb.Auth/AuthDisable":          {"/v3/auth/disable"},
	"/etcdserverpb.Auth/AuthStatus":           {"/v3/auth/status"},
	"/etcdserverpb.Auth/Authenticate":         {"/v3/auth/authenticate"},
	"/etcdserverpb.Auth/UserAdd":              {"/v3/auth/user/add"},
	"/etcdserverpb.Auth/UserGet":              {"/v3/auth/user/get"},
	"/etcdserverpb.Auth/UserList":             {"/v3/auth/user/list"},
	"/etcdserverpb.Auth/UserDelete":           {"/v3/auth/user/delete"},
	"/etcdserverpb.Auth/UserChangePassword":   {"/v3/auth/user/changepw"},
	"/etcdserverpb.Auth/UserGrantRole":        {"/v3/auth/user/grant"},
	"/etcdserverpb.Auth/UserRevokeRole":       {"/v3/auth/user/revoke"},
	"/etcdserverpb.Auth/RoleAdd":              {"/v3/auth/role/add"},
	"/etcdserverpb.Auth/RoleGet":              {"/v3/auth/role/get"},
	"/etcdserverpb.Auth/RoleList":             {"/v3/auth/role/list"},
	"/etcdserverpb.Auth/RoleDelete":           {"/v3/auth/role/delete"},
	"/etcdserverpb.Auth/RoleGrantPermission":  {"/v3/auth/role/grant"},
	"/etcdserverpb.Auth/RoleRevokePermission": {"/v3/auth/role/revoke"},

	"/v3lockpb.Lock/Lock":             {"/v3/lock/lock"},
	"/v3lockpb.Lock/Unlock":           {"/v3/lock/unlock"},
	"/v3electionpb.Election/Campaign": {"/v3/election/campaign"},
	"/v3electionpb.Election/Proclaim": {"/v3/election/proclaim"},
	"/v3electionpb.Election/Leader":   {"/v3/election/leader"},
	"/v3electionpb.Election/Observe":  {"/v3/election/observe"},
	"/v3electionpb.Election/Resign":   {"/v3/election/resign"},

	"/grpc.health.v1.Health/Check": nil,
	"/grpc.health.v1.Health/List":  nil,
	"/grpc.health.v1.Health/Watch": nil,
}

// TestEveryCallAsJSON makes every call of TestEveryCall through the JSON gateway, at each
// of its paths. A call that is not in the table fails the test.
func TestEveryCallAsJSON(t *testing.T) {
	for _, method := range methods() {
		if _, ok := gatewayPaths[method]; !ok {
			t.Errorf("%s is not in the table: say where the gateway has it", method)
		}
	}
	r := startPaths(t, nil)
	var tokens []caller // a certificate names nobody here: see below
	for _, c := range callers {
		if c.bit != certified {
			tokens = append(tokens, c)
		}
	}
	for _, row := range accessRows() {
		for _, path := range gatewayPaths[row.method] {
			conn := &jsonConn{client: &r.plain, url: r.cfg.ListenClientURLs[0].String() + path}
			r.makeCalls([]accessRow{row}, tokens, func(int) grpc.ClientConnInterface { return conn })
			status, body := r.ask(ask{to: "client", path: path, body: "{}"}, certified, "")
			if status != http.StatusBadRequest || !strings.HasPrefix(string(body), "CommonName of client sending a request against gateway will be ignored") {
				t.Errorf("%s with a certificate answers %d: %.100s", path, status, body)
			}
		}
	}
}

// jsonConn makes calls as a client of the JSON gateway does, at one path.
type jsonConn struct {
	client *http.Client
	url    string
}

// post sends a message; the caller closes the body of the answer.
func (c *jsonConn) post(ctx context.Context, message any) (io.ReadCloser, error) {
	text, err := protojson.Marshal(message.(proto.Message))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(string(text)))
	if err != nil {
		return nil, err
	}
	if out, _ := metadata.FromOutgoingContext(ctx); len(out.Get("token")) > 0 {
		req.Header.Set("Authorization", out.Get("token")[0])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var told struct {
		refusal
		Error refusal // what a stream begins with
	}
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
		return nil, err
	}
	if told.Error.Code != codes.OK {
		return nil, told.Error.err()
	}
	return nil, told.err()
}

// refusal is an error as the gateway tells it.
type refusal struct {
	Code    codes.Code `json:"code"`
	Message string     `json:"message"`
}

func (r *refusal) err() error { return status.Error(r.Code, r.Message) }

// Invoke implements grpc.ClientConnInterface.
func (c *jsonConn) Invoke(ctx context.Context, _ string, request, answer any, _ ...grpc.CallOption) error {
	body, err := c.post(ctx, request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(body)
	return errors.Join(err, body.Close(), protojson.Unmarshal(text, answer.(proto.Message)))
}

// NewStream implements grpc.ClientConnInterface, for streams of one request.
func (c *jsonConn) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &jsonStream{conn: c, ctx: ctx}, nil
}

// jsonStream has a line for each answer.
type jsonStream struct {
	grpc.ClientStream
	conn    *jsonConn
	ctx     context.Context
	lines   *bufio.Reader
	refused error // told by RecvMsg, as gRPC does
}

// SendMsg implements grpc.ClientStream.
func (s *jsonStream) SendMsg(message any) error {
	body, err := s.conn.post(s.ctx, message)
	if err != nil {
		s.refused = err
		return nil
	}
	s.lines = bufio.NewReader(body)
	context.AfterFunc(s.ctx, func() { body.Close() })
	return nil
}

// CloseSend implements grpc.ClientStream.
func (s *jsonStream) CloseSend() error { return nil }

// RecvMsg implements grpc.ClientStream.
func (s *jsonStream) RecvMsg(answer any) error {
	if s.refused != nil {
		return s.refused
	}
	line, err := s.lines.ReadBytes('\n')
	if err != nil && len(line) == 0 {
		return err
	}
	var told struct {
		Result json.RawMessage
		Error  *refusal
	}
	if err := json.Unmarshal(line, &told); err != nil {
		return err
	}
	if told.Error != nil {
		return told.Error.err()
	}
	return protojson.Unmarshal(told.Result, answer.(proto.Message))
}
