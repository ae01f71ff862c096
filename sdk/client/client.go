// Package client is the host's end of a check plugin: it opens a binary and gives back an
// sdk.Checker, and a Stream to run checks over by the thousand.
package client

import (
	"context"
	"os/exec"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
)

// Logger is hashicorp/go-hclog's.
type Logger = wire.Logger

// Launch says how to start a plugin process.
type Launch = wire.Launch

// Stream carries registered checks and their verdicts; see its methods.
type Stream = wire.Stream

// Client is a running plugin process. All methods may be called concurrently.
type Client struct {
	process *wire.Process
}

var _ sdk.Checker = (*Client)(nil)

// Open starts the plugin that l describes and shakes hands with it. Its errors name the path
// and quote the plugin's own last line. The process lives until Close or Kill, whatever becomes of
// ctx, or until it ends by itself: see Exited.
func Open(ctx context.Context, l Launch) (*Client, error) {
	p, err := wire.Open(ctx, l)
	if err != nil {
		return nil, err
	}
	return &Client{process: p}, nil
}

// OpenPath is Open for a binary with an empty environment and no further precautions.
func OpenPath(ctx context.Context, path string) (*Client, error) {
	return Open(ctx, Launch{Cmd: exec.Command(path)})
}

// Describe implements sdk.Checker.
func (c *Client) Describe(ctx context.Context) (sdk.Info, error) { return c.process.Describe(ctx) }

// Validate implements sdk.Checker.
func (c *Client) Validate(ctx context.Context, service string, o sdk.Options) error {
	return c.process.Validate(ctx, service, o)
}

// Probe implements sdk.Checker.
func (c *Client) Probe(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict {
	return c.process.Probe(ctx, t, o)
}

// Run opens the stream for registered checks. It ends with ctx, with the process, or by
// its Close.
func (c *Client) Run(ctx context.Context) (*Stream, error) { return c.process.Run(ctx) }

// Ping says whether the process answers at all.
func (c *Client) Ping(ctx context.Context) error { return c.process.Ping(ctx) }

// PID is the process's number.
func (c *Client) PID() int { return c.process.PID() }

// Exited is closed when the process has ended.
func (c *Client) Exited() <-chan struct{} { return c.process.Exited() }

// LastWords is the last line, or the panic, that the process printed on its standard error.
func (c *Client) LastWords() string { return c.process.LastWords() }

// ExitStatus says how the process ended, such as "signal: killed"; empty when that is not known.
func (c *Client) ExitStatus() string { return c.process.Status() }

// Close asks the process to end, and kills it and its group after two seconds.
func (c *Client) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c.process.Close(ctx)
}

// Kill ends the process and its group at once.
func (c *Client) Kill() { c.process.Kill() }
