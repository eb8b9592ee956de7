package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// identityName is the object that says whose archive it is.
const identityName = "ARCHIVE"

// Identity says whose archive it is.
type Identity struct {
	Version   int    `json:"version"`
	ClusterID uint64 `json:"clusterID"`
	MemberID  uint64 `json:"memberID"`
	// MinLeaseTTL is the least TTL of leases in that cluster, in seconds: the same entries
	// must give the same leases when they are applied again.
	MinLeaseTTL int64 `json:"minLeaseTTL"`
}

const identityVersion = 1

// identitySum is the line behind an identity's.
func identitySum(text []byte) string { return fmt.Sprintf("%08x\n", castagnoli(nil, text)) }

// readIdentity returns os.ErrNotExist if there is no archive.
func readIdentity(ctx context.Context, s Store) (id Identity, err error) {
	f, err := s.Open(ctx, identityName)
	if err != nil {
		return id, err
	}
	defer f.Close()
	const limit = 64 << 10
	text, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return id, fmt.Errorf("read %s of %s: %w", identityName, s, err)
	}
	body, sum, _ := bytes.Cut(text, []byte("\n"))
	if string(sum) != identitySum(body) {
		return id, &DamageError{Piece: identityName, Reason: "the checksum in its second line is wrong"}
	}
	if err := json.Unmarshal(body, &id); err != nil {
		return id, &DamageError{Piece: identityName, Reason: err.Error()}
	}
	if id.Version != identityVersion {
		return id, fmt.Errorf("%s holds an archive of version %d; this program knows version %d", s, id.Version, identityVersion)
	}
	return id, nil
}

// claim makes the archive id's, unless it is another's.
func claim(ctx context.Context, s Store, id Identity) error {
	id.Version = identityVersion
	have, err := readIdentity(ctx, s)
	if errors.Is(err, os.ErrNotExist) {
		names, err := s.List(ctx)
		if err != nil {
			return err
		}
		if c := parseNames(names); len(c.checkpoints)+len(c.logs) > 0 {
			return fmt.Errorf("%s holds pieces of an archive but does not say whose: %s is missing", s, identityName)
		}
		text, err := json.Marshal(id)
		if err != nil {
			return err
		}
		text = append(append(text, '\n'), identitySum(text)...)
		return s.Put(ctx, identityName, Content{ReaderAt: bytes.NewReader(text), Size: int64(len(text))})
	}
	if err != nil {
		return err
	}
	if have.ClusterID != id.ClusterID || have.MemberID != id.MemberID {
		return fmt.Errorf("%s is the archive of member %x of cluster %x, this is member %x of cluster %x: give each member a place of its own, and a new one after a restore",
			s, have.MemberID, have.ClusterID, id.MemberID, id.ClusterID)
	}
	return nil
}
