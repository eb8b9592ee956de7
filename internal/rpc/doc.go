// Package rpc translates between gRPC and the server: decode, check who may call,
// call, encode, map errors to their codes. It holds no state beyond a stream's own.
//
// Answers that the server has already encoded (wire.Answer, watch responses) pass
// the codec as slices; every other message goes through protobuf.
package rpc
