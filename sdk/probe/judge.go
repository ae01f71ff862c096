package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/ldirectord/ldirectord/sdk"
)

// ErrTooLong says that a server's answer is longer than its reader is willing to hold.
var ErrTooLong = errors.New("too long")

// Judge sorts the error of a probe: Down, with the code of its layer, when the server is at
// fault, and Unknown when it says nothing about the server. Unknown are: a probe that
// was cancelled, missing descriptors, memory, local ports or rights, a name server that
// gave no answer, and files of our own. An error that Judge does not know is Down with CodeProtocol:
// what is left are answers that could not be understood.
func Judge(err error) sdk.Verdict {
	if v, ok := failed(err); ok {
		return v
	}
	switch {
	case err == nil:
		return sdk.Unknown("judged without an error")
	case errors.Is(err, context.Canceled):
		return sdk.Unknown("cancelled")
	case isLocal(err):
		return sdk.Unknown("%v", clean(err))
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return judgeResolve(dns)
	}
	code := codeOf(err)
	switch {
	case code == sdk.CodeL4Timeout:
		return sdk.DownWith(code, "no connection%s before the deadline", toWhom(err))
	case code == sdk.CodeTimeout:
		return sdk.DownWith(code, "%s", late(err))
	case code == sdk.CodeClosed && errors.Is(err, io.EOF):
		return sdk.DownWith(code, "closed by the server without an answer")
	}
	return sdk.DownWith(code, "%v", clean(err))
}

// judgeResolve: only a name server that says "no such name" says something about the
// configuration or the server; one that is silent or broken says nothing.
func judgeResolve(err *net.DNSError) sdk.Verdict {
	if err.IsNotFound {
		return sdk.DownWith(sdk.CodeResolve, "no such host: %s", err.Name)
	}
	v := sdk.Unknown("resolve %s: %s", err.Name, err.Err)
	v.Code = sdk.CodeResolve
	return v
}

// codeOf says at which layer an error of the server's arose.
func codeOf(err error) sdk.Code {
	dialing := isDial(err)
	switch {
	case isTimeout(err) && dialing:
		return sdk.CodeL4Timeout
	case isTimeout(err):
		return sdk.CodeTimeout
	case isErrno(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN,
		syscall.ENONET):
		return sdk.CodeUnreachable
	case dialing || isErrno(err, syscall.ECONNREFUSED):
		return sdk.CodeRefused
	case isTLS(err):
		return sdk.CodeTLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		isErrno(err, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN):
		return sdk.CodeClosed
	default:
		return sdk.CodeProtocol
	}
}

// isLocal tells the faults of this machine, or of the check itself, from the server's.
func isLocal(err error) bool {
	if isErrno(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
		syscall.EADDRINUSE, syscall.EACCES, syscall.EPERM, syscall.EAGAIN, syscall.EAFNOSUPPORT,
		syscall.EPROTONOSUPPORT, syscall.EINVAL, syscall.EBADF, syscall.ENODEV) {
		return true
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.UnknownNetworkError](err); ok {
		return true
	}
	return errors.Is(err, net.ErrClosed)
}

func isErrno(err error, any ...syscall.Errno) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(any, errno)
}

func isDial(err error) bool {
	if _, ok := errors.AsType[*dialError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.ETIMEDOUT) {
		return true
	}
	var slow interface{ Timeout() bool }
	return errors.As(err, &slow) && slow.Timeout()
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*HandshakeError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	// The alerts of crypto/tls have no exported type.
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}

// late words a deadline that passed on a connection.
func late(err error) string {
	if _, ok := errors.AsType[*HandshakeError](err); ok {
		return "TLS handshake not finished before the deadline"
	}
	return "not finished before the deadline"
}

func toWhom(err error) string {
	if d, ok := errors.AsType[*dialError](err); ok {
		return fmt.Sprintf(" to %s", d.addr)
	}
	return ""
}

// clean leaves the addresses out of an error of package net that the caller did not
// wrap: whoever shows the verdict names the server.
func clean(err error) error {
	if op, ok := err.(*net.OpError); ok {
		return fmt.Errorf("%s: %w", op.Op, cause(op))
	}
	return err
}

// cause is the innermost reason of an error of package net.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}
