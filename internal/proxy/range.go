package proxy

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// keyRange is the keys from begin to end, in the wire's terms: without an end it is one key, and "\x00" as the end means
// all keys from begin on.
type keyRange struct{ begin, end string }

const endless = "\x00"

// within is the range among the keys that begin with prefix.
func (r keyRange) within(prefix string) keyRange {
	if prefix == "" {
		return r
	}
	switch r.end {
	case "":
		return keyRange{prefix + r.begin, ""}
	case endless:
		return keyRange{prefix + r.begin, behind(prefix)}
	}
	return keyRange{prefix + r.begin, prefix + r.end}
}

// behind is the first key behind all that begin with prefix.
func behind(prefix string) string {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return string(end[:i+1])
		}
	}
	return endless
}

// meets tells whether the ranges have a key in common.
func (r keyRange) meets(other keyRange) bool {
	return r.reaches(other.begin) && other.reaches(r.begin)
}

// reaches tells whether the range ends behind a key.
func (r keyRange) reaches(key string) bool {
	switch r.end {
	case "":
		return key <= r.begin
	case endless:
		return true
	}
	return key < r.end
}

// strip takes prefix off the keys of events, which belong to the response alone.
func strip(resp *pb.WatchResponse, prefix string) {
	if prefix == "" {
		return
	}
	for _, e := range resp.Events {
		e.Kv.Key = bytes.TrimPrefix(e.Kv.Key, []byte(prefix))
		if e.PrevKv != nil {
			e.PrevKv.Key = bytes.TrimPrefix(e.PrevKv.Key, []byte(prefix))
		}
	}
}
