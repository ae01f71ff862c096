// Package wire is the process boundary between a director and a check plugin: the handshake
// of hashicorp/go-plugin, the messages of proto/check/v1 turned into the values of package sdk and
// back, and the stream that registered checks run over, seen from both sides.
//
// What arrives from the other side is bounded and made harmless here (see Bound), so that
// neither serve nor client has to.
package wire
