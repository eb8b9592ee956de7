package security

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/config"
	"bowline/internal/member"
	"bowline/internal/testkit"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// authRig is a member with access control, and connections of those who use it.
type authRig struct {
	t      *testing.T
	cfg    member.Config
	member *member.Member
	// plain is a connection without TLS. Tokens are added to each call's context.
	plain *grpc.ClientConn
	// named is one with a certificate for the common name "certified".
	named *grpc.ClientConn
	// tokens are those of the users that have logged in.
	tokens map[string]string
	ca     *x509.CertPool
	pair   tls.Certificate
}

const authPatience = 30 * time.Second

// startAuth starts a member whose configuration change may alter. Access control is not
// enabled yet.
func startAuth(t *testing.T, change func(*member.Config)) *authRig {
	t.Helper()
	before := goleak.IgnoreCurrent()
	r := &authRig{t: t, tokens: map[string]string{}}
	var ports testkit.Ports
	block, err := ports.Take()
	r.must(err)
	t.Cleanup(block.Release)
	at := func(scheme string, i int) url.URL { return url.URL{Scheme: scheme, Host: block.Addr(i)} }
	client, peer, secure := at("http", 0), at("http", 1), at("https", 2)
	r.cfg = member.Config{
		Name: "one", DataDir: filepath.Join(t.TempDir(), "data"),
		ListenClientURLs: []url.URL{client, secure}, AdvertiseClientURLs: []string{client.String()},
		ListenPeerURLs: []url.URL{peer}, AdvertisePeerURLs: []string{peer.String()},
		InitialCluster: map[string][]string{"one": {peer.String()}}, InitialToken: "t",
		ClientTLS: r.makeCertificates(),
		Tick:      10 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 1, PreVote: true,
		MaxRequestBytes: 1 << 20, MaxTxnOps: 128, MaxConcurrentStreams: 1 << 20,
		SlowRequest: time.Minute, SlowApply: time.Minute, AuthToken: "simple", BcryptCost: 4, Logger: zap.NewNop(),
	}
	if change != nil {
		change(&r.cfg)
	}
	r.plain, err = grpc.NewClient(client.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	r.must(err)
	r.named, err = grpc.NewClient(secure.Host, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: r.ca, Certificates: []tls.Certificate{r.pair}, ServerName: "127.0.0.1",
	})))
	r.must(err)
	r.start()
	t.Cleanup(func() {
		r.must(errors.Join(r.plain.Close(), r.named.Close(), r.member.Stop()))
		goleak.VerifyNone(t, before)
	})
	return r
}

func (r *authRig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *authRig) start() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), authPatience)
	defer cancel()
	var err error
	r.member, err = member.Start(ctx, r.cfg)
	r.must(err)
	_, err = pb.NewKVClient(r.plain).Range(ctx, &pb.RangeRequest{Key: []byte("k"), Serializable: true}, grpc.WaitForReady(true))
	if err != nil && status.Code(err) != codes.InvalidArgument {
		r.t.Fatal(err)
	}
}

// restart stops the member and starts it on what it has left behind.
func (r *authRig) restart() {
	r.t.Helper()
	r.must(r.member.Stop())
	r.start()
}

// makeCertificates makes an authority and what it signs: the server's, and the
// client's, which the rig keeps.
func (r *authRig) makeCertificates() config.Certificates {
	r.t.Helper()
	authority, err := testkit.NewAuthority(r.t.TempDir(), "ca")
	r.must(err)
	text, err := os.ReadFile(authority.File)
	r.must(err)
	r.ca = x509.NewCertPool()
	r.ca.AppendCertsFromPEM(text)
	server, err := authority.Issue("server")
	r.must(err)
	client, err := authority.Issue("certified")
	r.must(err)
	r.pair, err = tls.LoadX509KeyPair(client.Cert, client.Key)
	r.must(err)
	return config.Certificates{CertFile: server.Cert, KeyFile: server.Key, TrustedCAFile: authority.File, ClientCertAuth: true}
}

// as is the context of a call by a user who has logged in; "" is nobody.
func (r *authRig) as(user string) context.Context { return r.with(r.tokens[user]) }

// with is the context of a call with a token.
func (r *authRig) with(token string) context.Context {
	if token == "" {
		return r.t.Context()
	}
	return metadata.AppendToOutgoingContext(r.t.Context(), "token", token)
}

// login gives a user a token; passwords are "pw-" and the name.
func (r *authRig) login(users ...string) {
	r.t.Helper()
	for _, user := range users {
		a, err := pb.NewAuthClient(r.plain).Authenticate(r.t.Context(), &pb.AuthenticateRequest{Name: user, Password: "pw-" + user})
		r.must(err)
		r.tokens[user] = a.Token
	}
}

func (r *authRig) addUser(name string, roles ...string) {
	r.t.Helper()
	auth, ctx := pb.NewAuthClient(r.plain), r.as("root")
	_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: name, Password: "pw-" + name})
	r.must(err)
	for _, role := range roles {
		_, err = auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: name, Role: role})
		r.must(err)
	}
}

// addRole adds a role, if it is not there, and permits it something.
func (r *authRig) addRole(name string, kind authpb.Permission_Type, key, end string) {
	r.t.Helper()
	auth, ctx := pb.NewAuthClient(r.plain), r.as("root")
	if _, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: name}); err != nil && !strings.Contains(err.Error(), "already exists") {
		r.t.Fatal(err)
	}
	_, err := auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: name,
		Perm: &authpb.Permission{PermType: kind, Key: []byte(key), RangeEnd: []byte(end)}})
	r.must(err)
}

// enable makes root and enables access control.
func (r *authRig) enable() {
	r.t.Helper()
	if _, err := pb.NewAuthClient(r.plain).UserGet(r.t.Context(), &pb.AuthUserGetRequest{Name: "root"}); err != nil {
		r.addUser("root", "root")
	}
	_, err := pb.NewAuthClient(r.plain).AuthEnable(r.t.Context(), &pb.AuthEnableRequest{})
	r.must(err)
	r.login("root")
}

func (r *authRig) put(user, key, value string, lease int64) error {
	_, err := pb.NewKVClient(r.plain).Put(r.as(user), &pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease})
	return err
}

// refused tells that a call was refused for who its caller is, whatever code the service
// gives that.
func refused(err error) bool {
	text := status.Convert(err).Message()
	return text == "etcdserver: permission denied" || text == "etcdserver: user name is empty" || text == "etcdserver: invalid auth token"
}

// wantDenied fails the test unless a caller was refused as etcd does.
func wantDenied(t *testing.T, what string, err error) {
	t.Helper()
	if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != "etcdserver: permission denied" {
		t.Errorf("%s: %v, want that permission is denied", what, err)
	}
}
