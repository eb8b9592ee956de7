// Package deploy has tests of what Bowline is installed with: the manifest, the images, the
// lists of processes.
package deploy
