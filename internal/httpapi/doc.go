// Package httpapi serves what the client port offers beside gRPC: health, version
// and metrics, and shares the port between the two.
package httpapi
