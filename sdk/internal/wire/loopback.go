package wire

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// Loopback serves c and connects to it within this process, through real gRPC. It is how a check's
// own tests see it as the director does. The function it gives back ends both ends.
func Loopback(c sdk.Checker) (*Conn, func(), error) {
	listener := bufconn.Listen(256 << 10)
	server := grpc.NewServer(ServerOptions()...)
	checkv1.RegisterCheckServer(server, NewServer(c, nil))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	client, err := grpc.NewClient("passthrough:///loopback",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return listener.DialContext(ctx)
		}))
	if err != nil {
		server.Stop()
		<-served
		return nil, nil, fmt.Errorf("connect to ourselves: %w", err)
	}
	end := func() {
		_ = client.Close() // what it says is of no interest any more
		server.Stop()
		<-served
	}
	return NewConn(client), end, nil
}
