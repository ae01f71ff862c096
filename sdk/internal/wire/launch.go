package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Launch says how to start a plugin process.
type Launch struct {
	// Cmd is the binary with its arguments and its whole environment. It becomes the leader of a
	// process group of its own.
	Cmd *exec.Cmd
	// Start starts a command; nil: its own Start. A host that wants the child to die with it
	// starts it from a thread that lives as long as itself (PR_SET_PDEATHSIG, prctl(2)).
	Start func(*exec.Cmd) error
	// Dir is where the plugin's own directory is made, which holds its socket; empty: the
	// system's temporary directory. Its path must be short: socket paths end at 107 bytes.
	Dir string
	// Own, if not nil, gives that directory, which is of mode 0700, to the plugin's user.
	Own func(dir string) error
	// Logger takes what the plugin logs and prints; nil: nothing is logged.
	Logger Logger
	// Timeout is how long the plugin may take to its handshake; 0: ten seconds.
	Timeout time.Duration
}

// Process is a running plugin.
type Process struct {
	*Conn
	client   *plugin.Client
	settings *plugin.ClientConfig // the client's, which it reads again when it connects
	child    *child
}

// Open starts the plugin and shakes hands. Its errors hold the path and the plugin's last words.
// The process lives until Close or Kill, whatever becomes of ctx.
func Open(ctx context.Context, l Launch) (*Process, error) {
	if l.Logger == nil {
		l.Logger = hclog.NewNullLogger()
	}
	if l.Timeout == 0 {
		l.Timeout = 10 * time.Second
	}
	p := &Process{child: newChild(l)}
	p.settings = p.config(l)
	p.client = plugin.NewClient(p.settings)
	// The handshake has a limit of its own, which says more: it comes first.
	limited, cancel := context.WithTimeoutCause(ctx, l.Timeout+time.Second, errMute)
	defer cancel()
	stop := context.AfterFunc(limited, p.child.kill)
	conn, err := p.dial()
	if err == nil {
		if err = conn.Ping(limited); err != nil { // go-plugin is content with a socket that nobody reads
			err = fmt.Errorf("it does not speak gRPC: %w", err)
		}
	}
	if !stop() {
		err = context.Cause(limited) // whatever else happened, that is why
	}
	if err != nil {
		p.Kill()
		return nil, p.explain(l.Cmd.Path, err)
	}
	p.Conn = conn
	return p, nil
}

// errMute is what a plugin deserves that shakes hands and then says nothing.
var errMute = errors.New("it does not speak gRPC: no answer in time")

func (p *Process) config(l Launch) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{Version: {pluginName: &glue{}}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, dir string) (runner.Runner, error) {
			return p.child, p.child.adopt(spec.Env, dir)
		},
		AutoMTLS:         true,
		SkipHostEnv:      true, // the host's environment may hold secrets, and would win
		StartTimeout:     l.Timeout,
		Logger:           l.Logger,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: l.Dir},
		SyncStdout:       printed(l.Logger, "stdout"),
		SyncStderr:       printed(l.Logger, "stderr"),
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithInitialWindowSize(window),
			grpc.WithInitialConnWindowSize(window),
			grpc.WithDefaultCallOptions(callOptions()...),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: l.Timeout}),
		},
	}
}

// dial waits for the handshake and finds the service. A plugin in a language whose TLS cannot
// do what go-plugin asks for (P-521 keys, for one) sends no certificate; then the kernel has to
// vouch for whoever listens.
func (p *Process) dial() (*Conn, error) {
	if _, err := p.client.Start(); err != nil {
		return nil, err
	}
	if !p.child.stdout.certified() {
		p.settings.TLSConfig = nil
		p.settings.GRPCDialOptions = append(p.settings.GRPCDialOptions, grpc.WithContextDialer(p.child.dialPeer))
	}
	rpc, err := p.client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := rpc.Dispense(pluginName)
	if err != nil {
		return nil, err
	}
	conn, ok := raw.(*Conn)
	if !ok {
		return nil, fmt.Errorf("unexpected client %T", raw)
	}
	return conn, nil
}

// explain adds who failed and what it said last: go-plugin knows neither.
func (p *Process) explain(path string, err error) error {
	words := p.child.lastWords()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("plugin %s: not started: %w", path, err)
	case words != "":
		return fmt.Errorf("plugin %s: %s (its last words: %s)", path, headline(err), words)
	default:
		return fmt.Errorf("plugin %s: %s", path, headline(err))
	}
}

// PID is the process's number, which is also its group's.
func (p *Process) PID() int { return p.child.pid() }

// Exited is closed when the process has ended and its group has been killed.
func (p *Process) Exited() <-chan struct{} { return p.child.exited }

// LastWords is the last line, or the panic, that the process printed on its standard error.
func (p *Process) LastWords() string { return p.child.lastWords() }

// Status says how the process ended, such as "signal: killed"; empty while it runs.
func (p *Process) Status() string { return p.child.status() }

// Close asks the process to end and kills what is left of its group when ctx ends.
func (p *Process) Close(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.client.Kill()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		p.child.kill()
		<-done
	}
	p.child.clean()
}

// Kill ends the process and its group at once, and removes its directory.
func (p *Process) Kill() {
	p.child.kill()
	p.client.Kill() // asks nobody any more: it waits for its own goroutines
	p.child.clean()
}

// printed logs what a plugin writes to its standard output or error by hand.
func printed(l Logger, name string) io.Writer {
	return l.Named(name).StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Info})
}
