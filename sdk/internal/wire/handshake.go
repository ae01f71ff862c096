package wire

import (
	"context"
	"errors"
	"io"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// Version of the protocol. It grows by optional fields instead of by numbers.
const Version = 1

// The magic cookie tells a plugin that a director started it, not a human. It is no secret.
const (
	CookieKey   = "LDIRECTORD_CHECK_PLUGIN"
	CookieValue = "a-check-of-real-servers"
)

// MaxMessage is the size in bytes that no message may exceed, in either direction.
const MaxMessage = 4 << 20

// maxBatch is where a batch is cut in two: far enough under MaxMessage that the one entry
// which crosses it still fits.
const maxBatch = 1 << 20

// window is how many bytes may be under way in either direction. A fixed one, since to find out what
// suits, gRPC would send a ping, and await its answer, along with nearly every message.
const window = 1 << 20

// Logger is how plugin and host log.
type Logger = hclog.Logger

// pluginName is what go-plugin calls the only thing that one of our plugins serves.
const pluginName = "check"

// handshake is the same on both sides.
func handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: Version, MagicCookieKey: CookieKey, MagicCookieValue: CookieValue}
}

// glue is what go-plugin wants to know of either side.
type glue struct {
	plugin.NetRPCUnsupportedPlugin
	checker sdk.Checker // the plugin's side only
	logger  Logger      // the plugin's side only
}

// GRPCServer is called in the plugin.
func (g *glue) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	if g.checker == nil {
		return errors.New("no check to serve")
	}
	checkv1.RegisterCheckServer(s, NewServer(g.checker, g.logger))
	return nil
}

// GRPCClient is called in the host.
func (g *glue) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return NewConn(c), nil
}

// Serve runs the plugin's side until the host ends it.
func Serve(c sdk.Checker, logger Logger) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{Version: {pluginName: &glue{checker: c, logger: logger}}},
		Logger:           logger,
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, ServerOptions()...)...)
		},
	})
}

// NewLogger writes lines that the host's end turns back into level, message and fields.
// The host filters: only it knows what its operator wants to see.
func NewLogger(w io.Writer) Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: w, JSONFormat: true})
}

// NoLogger drops everything.
func NoLogger() Logger { return hclog.NewNullLogger() }
