package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Path is where a Receiver is served.
const Path = "/bowline/state/"

const (
	pathOffer    = Path + "offer"
	pathChunk    = Path + "chunk"
	pathComplete = Path + "complete"
	pathImage    = "/raft/snapshot" // etcd's

	headerCluster  = "X-Etcd-Cluster-ID"
	headerFrom     = "X-Server-From"
	headerOffer    = "X-Bowline-Offer"
	headerFile     = "X-Bowline-File"
	headerOffset   = "X-Bowline-Offset"
	headerChecksum = "X-Bowline-Checksum" // CRC-32C of the body, hex
)

const (
	// chunkBytes is how much of a file travels in one request.
	chunkBytes = 4 << 20
	// maxOfferBytes bounds an offer: some 100,000 files.
	maxOfferBytes = 16 << 20
	maxFiles      = 100_000
	// bodyTimeout is how long the body of one request may take.
	bodyTimeout = 30 * time.Second
	// installTimeout is how long the receiver waits for its raft and its disk.
	installTimeout = 2 * time.Minute
	// offerTimeout is how long the receiver may take to see what it has already.
	offerTimeout = 10 * time.Minute
	// transferTimeout bounds the whole, since the log is kept meanwhile.
	transferTimeout = time.Hour
	// quietTimeout is how long an offer may be silent before another sender's counts.
	quietTimeout = time.Minute
)

// offer is what the sender has.
type offer struct {
	// Message is raft's MsgSnap, encoded.
	Message []byte `json:"message"`
	Files   []File `json:"files"`
}

// answer is what the receiver says to an offer.
type answer struct {
	Offer string `json:"offer"`
	// Lacks are the files that are not there whole, with how much of each there is.
	Lacks []lack `json:"lacks"`
	// Taken tells that raft has no need of the state any more.
	Taken bool `json:"taken,omitempty"`
}

type lack struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"`
}

// offerID names an offer by its content.
func offerID(encoded []byte) string {
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

func checksumOf(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// parseOffer checks everything about an offer that does not depend on the receiver.
func parseOffer(encoded []byte) (*offer, *raftpb.Message, error) {
	o, m := new(offer), new(raftpb.Message)
	if err := json.Unmarshal(encoded, o); err != nil {
		return nil, nil, fmt.Errorf("the offer cannot be read: %w", err)
	}
	if err := proto.Unmarshal(o.Message, m); err != nil {
		return nil, nil, fmt.Errorf("the offer's message cannot be read: %w", err)
	}
	at := m.GetSnapshot().GetMetadata()
	switch {
	case m.GetType() != raftpb.MsgSnap || at.GetIndex() == 0 || at.GetTerm() == 0 || m.GetTerm() < at.GetTerm() || at.GetConfState() == nil:
		return nil, nil, errors.New("wrong raft message type")
	case len(o.Files) == 0 || len(o.Files) > maxFiles:
		return nil, nil, fmt.Errorf("a state of %d files", len(o.Files))
	}
	return o, m, checkFiles(o.Files)
}

// fileName is what an engine's files are called, as far as a directory's safety is concerned.
func fileName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`) }

func checkFiles(files []File) error {
	valid, seen, total := fileName(), make(map[string]bool, len(files)), int64(0)
	for _, f := range files {
		sum, err := hex.DecodeString(f.SHA256)
		switch {
		case !valid.MatchString(f.Name) || strings.HasSuffix(f.Name, partSuffix) || f.Name == completeName || seen[f.Name]:
			return fmt.Errorf("a file called %.100q", f.Name)
		case err != nil || len(sum) != sha256.Size || f.SHA256 != strings.ToLower(f.SHA256):
			return fmt.Errorf("the checksum of %s is %.100q", f.Name, f.SHA256)
		case f.Size < 0 || total+f.Size < total:
			return fmt.Errorf("%s has %d bytes", f.Name, f.Size)
		}
		seen[f.Name] = true
		total += f.Size
	}
	return nil
}
