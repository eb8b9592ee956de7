package archive

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Scheme begins the places that are buckets.
const s3Scheme = "s3://"

// bucket is a store in a service that speaks S3: s3://BUCKET/PREFIX. The service, the
// region and the keys come from where other programs have them from: AWS_ENDPOINT_URL,
// AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ~/.aws, the machine's role.
type bucket struct {
	client       *minio.Client
	name, prefix string

	mu sync.Mutex
	// uploads that were interrupted, by what they are of. Guarded by mu.
	uploads map[string]*upload
}

// answerTimeout is how long the service may take to begin an answer.
const answerTimeout = time.Minute

func openBucket(place string) (Store, error) {
	name, prefix, _ := strings.Cut(strings.TrimPrefix(place, s3Scheme), "/")
	if name == "" {
		return nil, fmt.Errorf("%q names no bucket: it should be like s3://bucket/prefix", place)
	}
	service, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	if err != nil {
		return nil, fmt.Errorf("AWS_ENDPOINT_URL: %w", err)
	}
	if service.Host == "" {
		service = &url.URL{Scheme: "https", Host: "s3.amazonaws.com"}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// Nothing is left behind between two pieces.
	transport.DisableKeepAlives, transport.ResponseHeaderTimeout = true, answerTimeout
	client, err := minio.New(service.Host, &minio.Options{
		Secure: service.Scheme == "https", Region: os.Getenv("AWS_REGION"), Transport: transport,
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: &http.Client{Transport: transport}},
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	return &bucket{client: client, name: name, prefix: strings.Trim(prefix, "/"), uploads: make(map[string]*upload)}, nil
}

func (b *bucket) String() string { return s3Scheme + path.Join(b.name, b.prefix) }

func (b *bucket) object(name string) string { return path.Join(b.prefix, name) }

func (b *bucket) List(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing after an error
	prefix := b.prefix
	if prefix != "" {
		prefix += "/"
	}
	var names []string
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return nil, fmt.Errorf("list %s: %w", b, o.Err)
		}
		names = append(names, strings.TrimPrefix(o.Key, prefix))
	}
	return names, nil
}

// Put relies on the service: an object is there when all its parts are.
func (b *bucket) Put(ctx context.Context, name string, c Content) error {
	if c.Size > partBytes {
		return b.putParts(ctx, name, c)
	}
	_, err := b.client.PutObject(ctx, b.name, b.object(name), struct{ io.Reader }{c.reader(ctx, 0, c.Size)}, c.Size, minio.PutObjectOptions{
		ContentType: contentType, NumThreads: 1, SendContentMd5: true, DisableContentSha256: true, DisableMultipart: true})
	return err
}

const contentType = "application/octet-stream"

func (b *bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	o, err := b.client.GetObject(ctx, b.name, b.object(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	if _, err := o.Stat(); err != nil {
		o.Close()
		if minio.ToErrorResponse(err).Code == "NoSuchKey" {
			err = &os.PathError{Op: "open", Path: b.String() + "/" + name, Err: os.ErrNotExist}
		}
		return nil, err
	}
	return o, nil
}

func (b *bucket) Remove(ctx context.Context, name string) error {
	return b.client.RemoveObject(ctx, b.name, b.object(name), minio.RemoveObjectOptions{})
}
