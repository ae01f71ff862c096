package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// Conn is the host's side of the protocol. It implements sdk.Checker.
type Conn struct {
	rpc    checkv1.CheckClient
	health grpc_health_v1.HealthClient
}

// NewConn speaks the protocol over c.
func NewConn(c grpc.ClientConnInterface) *Conn {
	return &Conn{rpc: checkv1.NewCheckClient(c), health: grpc_health_v1.NewHealthClient(c)}
}

// callOptions bound what a plugin can make its host read.
func callOptions() []grpc.CallOption {
	return []grpc.CallOption{grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)}
}

// Ping says whether the process answers at all.
func (c *Conn) Ping(ctx context.Context) error {
	_, err := c.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"}, callOptions()...)
	return plain(err)
}

// Describe implements sdk.Checker.
func (c *Conn) Describe(ctx context.Context) (sdk.Info, error) {
	r, err := c.rpc.Describe(ctx, &checkv1.DescribeRequest{}, callOptions()...)
	if err != nil {
		return sdk.Info{}, plain(err)
	}
	return fromInfo(r)
}

// Validate implements sdk.Checker.
func (c *Conn) Validate(ctx context.Context, service string, o sdk.Options) error {
	r, err := c.rpc.Validate(ctx, &checkv1.ValidateRequest{Service: service, Options: toOptions(o)}, callOptions()...)
	if err != nil {
		return plain(err)
	}
	return fromProblems(r.GetProblems())
}

// afterDeadline is how much longer than the probe its call may take: at the deadline itself the
// two ends would race, and what the probe has to say would be lost.
const afterDeadline = 500 * time.Millisecond

// Probe implements sdk.Checker.
func (c *Conn) Probe(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict {
	req := &checkv1.ProbeRequest{Target: toTarget(t), Options: toOptions(o)}
	call := ctx
	if at, ok := ctx.Deadline(); ok {
		req.Remaining = max(int64(time.Until(at)), 1)
		longer, cancel := context.WithDeadline(context.WithoutCancel(ctx), at.Add(afterDeadline))
		defer cancel()
		defer context.AfterFunc(ctx, func() {
			if errors.Is(ctx.Err(), context.Canceled) {
				cancel()
			}
		})()
		call = longer
	}
	r, err := c.rpc.Probe(call, req, callOptions()...)
	if err != nil {
		return sdk.Unknown("the plugin gave no verdict: %v", plain(err))
	}
	return fromVerdict(r.GetVerdict())
}

// Run opens the stream that registered checks run over; it ends when ctx does.
func (c *Conn) Run(ctx context.Context) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	rpc, err := c.rpc.Run(ctx, callOptions()...)
	if err != nil {
		cancel()
		return nil, plain(err)
	}
	s := newStream(rpc, cancel)
	go s.receive()
	go s.send()
	return s, nil
}

// plain words an error of gRPC for an operator.
func plain(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch s.Code() {
	case codes.OK:
		return nil
	case codes.DeadlineExceeded:
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case codes.Canceled:
		return fmt.Errorf("cancelled: %w", context.Canceled)
	case codes.Unavailable:
		// grpc writes it with a capital or a small e.
		if _, why, ok := strings.Cut(s.Message(), "rror while dialing: "); ok {
			return errors.New("no connection to its process: " + clip(why, MaxReason))
		}
		return errors.New("the connection to its process broke")
	case codes.Unimplemented:
		return errors.New("it does not speak the protocol of checks: " + s.Message())
	case codes.ResourceExhausted:
		return errors.New("a message over 4 MiB: " + s.Message())
	default:
		return errors.New(clip(s.Message(), MaxReason))
	}
}
