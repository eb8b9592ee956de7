package ctlv2

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// kept is a node of the tree in a snapshot file of etcd.
type kept struct {
	Path       string
	ExpireTime time.Time
	Value      string
	Children   map[string]*kept
}

// importSnap sets the keys that are in a .snap file of etcd. Hidden ones are left out
// unless they are named.
func importSnap(s *session, _ []string) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	root, err := readSnap(s.options.text("snap"))
	if err != nil {
		return bare(err)
	}
	keys := root.Children["1"]
	if keys == nil {
		return bareText("the snapshot holds no keys")
	}
	n := 0
	if err := s.importBelow(c, keys, &n); err != nil {
		return err
	}
	fmt.Fprintf(s.env.Out, "finished importing %d keys\n", n)
	return nil
}

func (s *session) importBelow(c *client, dir *kept, n *int) error {
	for _, name := range slices.Sorted(maps.Keys(dir.Children)) {
		k := dir.Children[name]
		key := strings.TrimPrefix(k.Path, "/1")
		if strings.HasPrefix(name, "_") && !slices.Contains(s.options["hidden"], key) {
			continue
		}
		query, form := url.Values{}, url.Values{}
		if !k.ExpireTime.IsZero() {
			left := time.Until(k.ExpireTime)
			if left <= 0 {
				continue
			}
			form.Set("ttl", strconv.Itoa(int((left+time.Second-1)/time.Second)))
		}
		if k.Children != nil {
			query.Set("dir", "true")
		} else {
			form.Set("value", k.Value)
		}
		if err := s.importOne(c, key, query, form, k.Children != nil); err != nil {
			return err
		}
		*n++
		if err := s.importBelow(c, k, n); err != nil {
			return err
		}
	}
	return nil
}

// importOne sets one key; a directory may be there already.
func (s *session) importOne(c *client, key string, query, form url.Values, dir bool) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.duration("total-timeout", 5*time.Second))
	defer cancel()
	_, err := c.key(ctx, http.MethodPut, key, query, form)
	const notFile = 102
	if e, refused := err.(*serverError); refused && dir && e.Code == notFile {
		return nil
	}
	return err
}

// readSnap reads the tree in a snapshot file: a checksum and a raft snapshot, whose
// data is the tree as JSON.
func readSnap(name string) (*kept, error) {
	if name == "" {
		return nil, fmt.Errorf("import needs --snap FILE")
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	sum, snapshot, err := snapFields(b)
	if err == nil && sum != uint64(crc32.Checksum(snapshot, crc32.MakeTable(crc32.Castagnoli))) {
		err = fmt.Errorf("its checksum is wrong")
	}
	var data []byte
	if err == nil {
		_, data, err = snapFields(snapshot)
	}
	var store struct{ Root *kept }
	if err == nil {
		err = json.Unmarshal(data, &store)
	}
	if err == nil && store.Root == nil {
		err = fmt.Errorf("it holds no tree")
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as a snapshot of etcd: %w", name, err)
	}
	return store.Root, nil
}

// snapFields are the first number and the first bytes of a message.
func snapFields(b []byte) (number uint64, bytes []byte, err error) {
	for len(b) > 0 {
		_, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, nil, protowire.ParseError(n)
		}
		m := protowire.ConsumeFieldValue(1, typ, b[n:])
		if m < 0 {
			return 0, nil, protowire.ParseError(m)
		}
		switch {
		case typ == protowire.VarintType && number == 0:
			number, _ = protowire.ConsumeVarint(b[n:])
		case typ == protowire.BytesType && bytes == nil:
			bytes, _ = protowire.ConsumeBytes(b[n:])
		}
		b = b[n+m:]
	}
	return number, bytes, nil
}
