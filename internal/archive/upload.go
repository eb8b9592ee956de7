package archive

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/minio/minio-go/v7"
)

const (
	// partBytes is how much is sent at a time, and at most sent again after an
	// interruption; with more than maxParts of them parts are larger.
	partBytes = 8 << 20
	maxParts  = 10_000
	// uploadsPerPage and maxPages bound what is asked for when tidying up.
	uploadsPerPage = 1000
	maxPages       = 100
)

// upload is an object that arrives in parts. The service has those in parts, all of one
// size but the last; sums are those of what was sent.
type upload struct {
	id    string
	size  int64
	parts []minio.CompletePart
	sums  [][md5.Size]byte
}

// partSize is a function of the size alone, so that parts are the same each time.
func partSize(size int64) int64 { return max(partBytes, (size+maxParts-1)/maxParts) }

// putParts puts an object in parts. It goes on with the upload of that name that was
// interrupted, as far as that has what would be sent.
func (b *bucket) putParts(ctx context.Context, name string, c Content) (err error) {
	core := minio.Core{Client: b.client}
	u := b.takeUpload(name, c.Size)
	if u == nil {
		id, err := core.NewMultipartUpload(ctx, b.name, b.object(name), minio.PutObjectOptions{ContentType: contentType})
		if err != nil {
			return err
		}
		u = &upload{id: id, size: c.Size}
	}
	defer func() {
		// The service may have given it up; then the next attempt begins anew.
		if err != nil && !isForgotten(err) {
			b.keepUpload(name, u)
		}
	}()
	for n, at := 0, int64(0); at < c.Size; n++ {
		size := min(partSize(c.Size), c.Size-at)
		if err := b.putPart(ctx, core, name, u, n, c, at, size); err != nil {
			return err
		}
		at += size
	}
	_, err = core.CompleteMultipartUpload(ctx, b.name, b.object(name), u.id, u.parts, minio.PutObjectOptions{})
	return err
}

// isForgotten tells that the service knows no such upload, or no longer.
func isForgotten(err error) bool {
	var r minio.ErrorResponse
	return errors.As(err, &r) && r.Code == "NoSuchUpload"
}

// putPart puts part n, counted from 0, unless it is there.
func (b *bucket) putPart(ctx context.Context, core minio.Core, name string, u *upload, n int, c Content, at, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h := md5.New()
	if got, err := io.Copy(h, io.NewSectionReader(c, at, size)); err != nil || got != size {
		return errors.Join(err, fmt.Errorf("%d of %d bytes at offset %d can be read", got, size, at))
	}
	sum := [md5.Size]byte(h.Sum(nil))
	if n < len(u.parts) && u.sums[n] == sum {
		return nil
	}
	u.parts, u.sums = u.parts[:n], u.sums[:n]
	// Without a Seeker the client does not send it again by itself: the pace would not know.
	part, err := core.PutObjectPart(ctx, b.name, b.object(name), u.id, n+1, struct{ io.Reader }{c.reader(ctx, at, size)}, size,
		minio.PutObjectPartOptions{Md5Base64: base64.StdEncoding.EncodeToString(sum[:]), DisableContentSha256: true})
	if err != nil {
		return fmt.Errorf("part %d: %w", n+1, err)
	}
	u.parts, u.sums = append(u.parts, minio.CompletePart{PartNumber: n + 1, ETag: part.ETag}), append(u.sums, sum)
	return nil
}

// takeUpload returns the interrupted upload of an object of this size, if there is one.
func (b *bucket) takeUpload(name string, size int64) *upload {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[name]
	if u == nil || u.size != size {
		return nil // what is left of another content is removed by tidy
	}
	delete(b.uploads, name)
	return u
}

func (b *bucket) keepUpload(name string, u *upload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uploads[name] = u
}

// tidy aborts the uploads of pieces that were interrupted, by a crash for one: their
// parts take room that no listing shows. What the pieces were made of is gone.
func (b *bucket) tidy(ctx context.Context) error {
	b.mu.Lock()
	clear(b.uploads)
	b.mu.Unlock()
	core := minio.Core{Client: b.client}
	prefix := b.prefix
	if prefix != "" {
		prefix += "/"
	}
	var key, id string
	for range maxPages {
		page, err := core.ListMultipartUploads(ctx, b.name, prefix, key, id, "", uploadsPerPage)
		if err != nil {
			return fmt.Errorf("list uploads in %s: %w", b, err)
		}
		for _, u := range page.Uploads {
			if _, ours := parseName(strings.TrimPrefix(u.Key, prefix)); !ours {
				continue
			}
			if err := core.AbortMultipartUpload(ctx, b.name, u.Key, u.UploadID); err != nil && !isForgotten(err) {
				return fmt.Errorf("abort the upload of %s: %w", u.Key, err)
			}
		}
		if !page.IsTruncated {
			break
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
	return nil
}
