//go:build !race

package mvcc

const underRace = false
