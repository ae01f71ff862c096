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
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// expiryNotice is how long before its end a certificate is worth a word.
const expiryNotice = 14 * 24 * time.Hour

// TLSOptions are the options of every check that speaks TLS, to be embedded in its options. As
// long as nothing else is asked for, no certificate is verified and servers as old as TLS
// 1.0 are spoken to: a check finds out whether a service works, not whether it is safe.
type TLSOptions struct {
	Verify bool       `option:"tls-verify" default:"no" help:"verify the server's certificate and its name"`
	CA     CAFile     `option:"tls-ca" help:"PEM file of the authorities to verify with; the system's when unset"`
	Name   string     `option:"tls-name" help:"name to ask for (SNI) and to verify, instead of the host's"`
	Min    TLSVersion `option:"tls-min" default:"1.0" help:"oldest TLS version to accept: 1.0, 1.1, 1.2 or 1.3"`
}

// Validate says what is wrong with the options together: nil or an *sdk.OptionError.
func (o TLSOptions) Validate() error {
	if o.CA.pool != nil && !o.Verify {
		return &sdk.OptionError{Option: "tls-ca", Want: "verifies nothing as long as tls-verify is no"}
	}
	return nil
}

// CAFile is a file of certificate authorities, read when its option is decoded. The
// zero value stands for the system's.
type CAFile struct{ pool *x509.CertPool }

// UnmarshalText reads the file that text names.
func (f *CAFile) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	pem, err := os.ReadFile(string(text))
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (a plugin runs as an unprivileged user and reads files below /etc, /usr, /opt and /srv alone)", err)
	}
	if err != nil {
		return err
	}
	f.pool = x509.NewCertPool()
	if !f.pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate in PEM form", text)
	}
	return nil
}

// CAFromPEM is a CAFile of authorities that are in no file.
func CAFromPEM(pem []byte) (CAFile, error) {
	f := CAFile{pool: x509.NewCertPool()}
	if !f.pool.AppendCertsFromPEM(pem) {
		return CAFile{}, errors.New("no certificate in PEM form")
	}
	return f, nil
}

// TLSVersion is a version of TLS as crypto/tls numbers them. The zero value stands for TLS 1.0.
type TLSVersion uint16

// UnmarshalText reads 1.0, 1.1, 1.2 or 1.3.
func (v *TLSVersion) UnmarshalText(text []byte) error {
	switch strings.TrimSpace(string(text)) {
	case "1.0":
		*v = tls.VersionTLS10
	case "1.1":
		*v = tls.VersionTLS11
	case "1.2":
		*v = tls.VersionTLS12
	case "1.3":
		*v = tls.VersionTLS13
	default:
		return fmt.Errorf("%q is none of 1.0, 1.1, 1.2 and 1.3", text)
	}
	return nil
}

// HandshakeError says that a TLS handshake failed, or did not finish in time.
type HandshakeError struct{ Err error }

func (e *HandshakeError) Error() string {
	if e.Err == io.EOF {
		return "TLS handshake: closed by the server"
	}
	return "TLS handshake: " + strings.TrimPrefix(cause(e.Err).Error(), "tls: ")
}

// Unwrap returns the reason.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Dial connects to t and does the handshake. name is the server's; see Over.
func (o TLSOptions) Dial(ctx context.Context, t sdk.Target, name string, tr *Trace) (*tls.Conn, error) {
	dial := func() (net.Conn, error) {
		conn, err := Dial(ctx, t, tr)
		if err != nil {
			return nil, err // not a nil *Conn, which would be a connection that is not nil
		}
		return conn, nil
	}
	return o.Over(dial, name, t.Addr.Addr(), tr)
}

// Over does the handshake over a connection that dial makes, which should be bounded by the
// probe's context. name, without a port, is asked for in the handshake (SNI, RFC 6066)
// unless it is empty or an address, and verified if the options say so; the option
// tls-name goes before it, and addr is verified when both are empty.
//
// One handshake offers everything that is cheap: all versions and all key exchanges and
// ciphers that crypto/tls has, the weak ones too, but no post-quantum key share, which
// would cost a probe more than all the rest and whose size some old servers stumble over. A server
// that refuses this offer is dialled a second time with the key exchanges of Go's default.
//
// A failed handshake is a *HandshakeError. tr, which may be nil, gets the phase "tls".
func (o TLSOptions) Over(dial func() (net.Conn, error), name string, addr netip.Addr, tr *Trace) (*tls.Conn, error) {
	config := o.config(name, addr)
	config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	conn, err := handshake(dial, config, tr)
	if refusedOffer(err) {
		tr.Note("%v; once more with post-quantum key exchanges", err)
		config = o.config(name, addr)
		conn, err = handshake(dial, config, tr)
	}
	return conn, err
}

func handshake(dial func() (net.Conn, error), config *tls.Config, tr *Trace) (*tls.Conn, error) {
	raw, err := dial()
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	err = conn.Handshake()
	tr.Phase("tls")
	if err != nil {
		raw.Close()
		return nil, &HandshakeError{err}
	}
	return conn, nil
}

func (o TLSOptions) config(name string, addr netip.Addr) *tls.Config {
	if o.Name != "" {
		name = o.Name
	}
	if name == "" && o.Verify {
		name = addr.WithZone("").String()
	}
	return &tls.Config{
		ServerName:         name, // crypto/tls sends no SNI for addresses
		RootCAs:            o.CA.pool,
		InsecureSkipVerify: !o.Verify,
		MinVersion:         max(uint16(o.Min), tls.VersionTLS10),
		CipherSuites:       allSuites(),
		Renegotiation:      tls.RenegotiateFreelyAsClient,
	}
}

// allSuites are the numbers of all cipher suites that crypto/tls has, weak ones included.
var allSuites = sync.OnceValue(func() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
})

// refusedOffer says whether the server answered a handshake with an alert (RFC 8446, 6.2).
func refusedOffer(err error) bool {
	if _, ok := errors.AsType[*HandshakeError](err); !ok {
		return false
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// ExpiryNote says so when the server's certificate expired or does so within 14 days of
// now; else it is empty.
func ExpiryNote(state tls.ConnectionState, now time.Time) string {
	if len(state.PeerCertificates) == 0 {
		return ""
	}
	end := state.PeerCertificates[0].NotAfter
	left := end.Sub(now)
	day := end.UTC().Format(time.DateOnly)
	switch {
	case left < 0:
		return "certificate expired on " + day
	case left < expiryNotice:
		return fmt.Sprintf("certificate expires in %d days, on %s", int(left.Hours()/24), day)
	}
	return ""
}
