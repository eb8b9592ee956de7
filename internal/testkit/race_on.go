//go:build race

package testkit

// raceDetector tells whether the tests, and so the programs that they build, run
// with the race detector.
const raceDetector = true
