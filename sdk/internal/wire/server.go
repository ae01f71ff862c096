package wire

import (
	"context"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// Server answers for a check: the plugin's side of the protocol.
type Server struct {
	checkv1.UnimplementedCheckServer
	checker sdk.Checker
	logger  Logger // nil: probes log nowhere
}

// NewServer makes a Server of c. Register it on a grpc.Server made with ServerOptions.
func NewServer(c sdk.Checker, logger Logger) *Server { return &Server{checker: c, logger: logger} }

// ServerOptions bound the size of messages and turn a panic in a call into an error of
// that call.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.ChainUnaryInterceptor(recoverCall),
	}
}

func recoverCall(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = status.Errorf(codes.Internal, "the plugin panicked: %v", p)
		}
	}()
	return next(ctx, req)
}

// Describe implements checkv1.CheckServer.
func (s *Server) Describe(ctx context.Context, _ *checkv1.DescribeRequest) (*checkv1.DescribeResponse, error) {
	info, err := s.checker.Describe(ctx)
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, valid(err.Error()))
	}
	return toInfo(info), nil
}

// Validate implements checkv1.CheckServer.
func (s *Server) Validate(ctx context.Context, r *checkv1.ValidateRequest) (*checkv1.ValidateResponse, error) {
	err := s.checker.Validate(ctx, r.GetService(), r.GetOptions())
	return &checkv1.ValidateResponse{Problems: toProblems(err)}, nil
}

// Probe implements checkv1.CheckServer.
func (s *Server) Probe(ctx context.Context, r *checkv1.ProbeRequest) (*checkv1.ProbeResponse, error) {
	t, err := fromTarget(r.GetTarget())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if r.GetRemaining() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.GetRemaining()))
		defer cancel()
	}
	v := guard(func(ctx context.Context, t sdk.Target) sdk.Verdict {
		return s.checker.Probe(ctx, t, r.GetOptions())
	})(withLogger(ctx, s.logger, &t), t)
	return &checkv1.ProbeResponse{Verdict: toVerdict(v)}, nil
}

// Run implements checkv1.CheckServer.
func (s *Server) Run(stream checkv1.Check_RunServer) error {
	return newSession(s.checker, s.logger, stream).run()
}

// prober is one probe with its options settled.
type prober = func(ctx context.Context, t sdk.Target) sdk.Verdict

// prepare settles options once; a Checker that cannot do so decodes them at each probe.
func prepare(c sdk.Checker, service string, o sdk.Options) (p prober, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, status.Errorf(codes.Internal, "the plugin panicked over the options: %v", r)
		}
	}()
	if once, ok := c.(sdk.Preparer); ok {
		p, err = once.Prepare(service, o)
		if err != nil {
			return nil, err
		}
		return guard(p), nil
	}
	return guard(func(ctx context.Context, t sdk.Target) sdk.Verdict { return c.Probe(ctx, t, o) }), nil
}

// guard makes a panic an Unknown verdict: one bad probe must not end a process that runs
// thousands. (A Checker made by sdk.Check does so itself; others may not.)
func guard(p prober) prober {
	return func(ctx context.Context, t sdk.Target) (v sdk.Verdict) {
		defer func() {
			if r := recover(); r != nil {
				v = sdk.Unknown("the probe panicked: %v", r)
				v.Transcript = string(debug.Stack())
			}
		}()
		return p(ctx, t)
	}
}

// loggerKey is where a probe's context keeps its logger.
type loggerKey struct{}

type probeLogger struct {
	logger Logger
	target *sdk.Target
}

func withLogger(ctx context.Context, l Logger, t *sdk.Target) context.Context {
	if l == nil {
		return ctx
	}
	return context.WithValue(ctx, loggerKey{}, probeLogger{l, t})
}

// LoggerFrom finds the logger of the probe that ctx belongs to, with its service and
// target; nil outside of a probe. The fields are added here and not per probe, since
// few probes log.
func LoggerFrom(ctx context.Context) Logger {
	p, ok := ctx.Value(loggerKey{}).(probeLogger)
	if !ok {
		return nil
	}
	return p.logger.With("service", p.target.Service, "target", p.target.Addr.String())
}

// How long good news may wait for company: until the first message from the host after batchAge,
// which is the second of the host's ticks of 10 ms, or until batchDelay. A server that has come
// back is used that much later.
const (
	batchAge   = 15 * time.Millisecond
	batchDelay = 40 * time.Millisecond
)
