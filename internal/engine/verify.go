package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// verifyFiles looks for damage that Pebble would not tell, or not where, before
// it opens the store in dir: it takes a damaged manifest for one whose end a
// crash has cut, and opens an older state, or misses files that it has let go of.
func verifyFiles(dir string, o *pebble.Options) error {
	if _, err := o.FS.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	desc, err := pebble.Peek(dir, o.FS)
	if err != nil || !desc.Exists {
		return err
	}
	manifest, err := readFile(o.FS, desc.ManifestFilename)
	if err != nil {
		return err
	}
	if at, ok := findDamage(manifest); !ok {
		return fmt.Errorf("%s is damaged at offset %d", desc.ManifestFilename, at)
	}
	if desc.OptionsFilename == "" {
		return nil
	}
	options, err := readFile(o.FS, desc.OptionsFilename)
	if err != nil {
		return err
	}
	o.EnsureDefaults()
	if err := o.CheckCompatibility(dir, string(options)); err != nil {
		return fmt.Errorf("%s is damaged, or not of this version: %w", desc.OptionsFilename, err)
	}
	return nil
}

// Damaged tells whether an error of a read says that a file is damaged.
func Damaged(err error) bool { return pebble.IsCorruptionError(err) }

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// A manifest is a sequence of blocks of chunks: a CRC, a length, a type, and as
// many bytes as the length says. A chunk does not cross the end of a block.
const (
	manifestBlock  = 32 << 10
	chunkHeader    = 7
	lastChunkType  = 4
	crcMask        = 0xa282ead8
	crcMaskedShift = 15
)

// findDamage returns the offset of the first chunk that is not valid although a
// valid one follows it. ok tells that there is none: what follows the last valid
// chunk, if anything, was being written when the process or the machine stopped.
func findDamage(manifest []byte) (at int, ok bool) {
	for at < len(manifest) {
		n := validChunk(manifest, at)
		if n == 0 {
			break
		}
		if at += n; manifestBlock-at%manifestBlock < chunkHeader {
			at += manifestBlock - at%manifestBlock
		}
	}
	for later := at + 1; later < len(manifest); later++ {
		if validChunk(manifest, later) > 0 {
			return at, false
		}
	}
	return 0, true
}

// validChunk is the size of the chunk at an offset, 0 if none is there.
func validChunk(manifest []byte, at int) int {
	block := manifest[at:min(len(manifest), at+manifestBlock-at%manifestBlock)]
	if len(block) < chunkHeader || block[6] == 0 || block[6] > lastChunkType {
		return 0
	}
	n := chunkHeader + int(binary.LittleEndian.Uint16(block[4:]))
	if n > len(block) {
		return 0
	}
	sum := crc32.Checksum(block[chunkHeader-1:n], crc32.MakeTable(crc32.Castagnoli))
	if sum = sum>>crcMaskedShift | sum<<(32-crcMaskedShift); sum+crcMask != binary.LittleEndian.Uint32(block) {
		return 0
	}
	return n
}
