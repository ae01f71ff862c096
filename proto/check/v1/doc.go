// Package checkv1 is the protocol between a director and a check plugin, generated from
// check.proto, which documents it.
package checkv1

//go:generate protoc --proto_path=../../.. --go_out=../../.. --go_opt=paths=source_relative --go-grpc_out=../../.. --go-grpc_opt=paths=source_relative proto/check/v1/check.proto
