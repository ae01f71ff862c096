// Package control is the daemon's private door: a unix socket in its run directory
// that speaks HTTP and JSON. The status and reload commands are its clients.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// Daemon is what the socket can ask of the daemon. Its methods may be called concurrently.
type Daemon interface {
	// Status describes the daemon and its table now.
	Status(ctx context.Context) Status
	// Reload reads the configuration again. Nothing has changed when it returns an error;
	// a *Refused carries the text for the operator and an exit code.
	Reload(ctx context.Context) error
}

// Refused is an answer that says no.
type Refused struct {
	Text string `json:"error"`
	Code int    `json:"code"` // exit code for the command that asked
}

func (r *Refused) Error() string { return r.Text }

// Server answers on the socket.
type Server struct {
	listener net.Listener
	http     *http.Server
	cancel   context.CancelFunc // ends the requests under way
	done     chan struct{}      // closed when Serve's goroutine has ended; nil before
}

// Open makes the socket, readable and writable by the daemon's user alone. Who connects waits
// for Serve. A socket that an ended daemon left behind is replaced: the caller holds the
// instance's lock.
func Open(path string) (*Server, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Server{listener: l}, nil
}

// Serve begins to answer for d.
func (s *Server) Serve(d Daemon) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.done = make(chan struct{})
	s.http = &http.Server{
		Handler:           routes(d),
		ReadHeaderTimeout: 5 * time.Second,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	go func() { // Close waits for it
		defer close(s.done)
		_ = s.http.Serve(s.listener) // ends with Close
	}()
}

// Close stops answering and removes the socket. Requests under way are cancelled, and cut off
// when ctx ends.
func (s *Server) Close(ctx context.Context) {
	if s.http == nil {
		s.listener.Close()
		return
	}
	s.cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.done
}

func routes(d Daemon) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, d.Status(r.Context()))
	})
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		err := d.Reload(context.WithValue(r.Context(), viaKey{}, r.URL.Query()["via"]))
		var no *Refused
		switch {
		case err == nil:
			answer(w, http.StatusOK, struct{}{})
		case errors.As(err, &no):
			answer(w, http.StatusConflict, no)
		default:
			answer(w, http.StatusConflict, &Refused{Text: err.Error(), Code: 1})
		}
	})
	return mux
}

// viaKey is the key of what Via returns.
type viaKey struct{}

// Via returns the instances through which a reload came to the daemon, by the context that its Reload was
// given; nil when it is an operator's.
func Via(ctx context.Context) []string {
	via, _ := ctx.Value(viaKey{}).([]string)
	return via
}

func answer(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // a client that went away needs no answer
}
