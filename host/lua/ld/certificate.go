package ld

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// certificate is what a script sees of the peer's.
type certificate struct {
	Subject   string   `json:"subject"`
	Issuer    string   `json:"issuer"`
	Names     []string `json:"names"`
	NotBefore int64    `json:"not_before"` // seconds since 1970
	NotAfter  int64    `json:"not_after"`
	Serial    string   `json:"serial"` // in hexadecimal digits
	SHA256    string   `json:"sha256"` // of the certificate, in hexadecimal digits
	Version   string   `json:"version"`
}

// maxNames bounds the names of a certificate that a script is shown.
const maxNames = 100

// describe is the certificate of a handshake, as recordings have it.
func describe(state tls.ConnectionState) (string, error) {
	out := certificate{Version: tls.VersionName(state.Version)}
	if len(state.PeerCertificates) > 0 {
		c := state.PeerCertificates[0]
		sum := sha256.Sum256(c.Raw)
		out.Subject, out.Issuer = c.Subject.String(), c.Issuer.String()
		out.NotBefore, out.NotAfter = c.NotBefore.Unix(), c.NotAfter.Unix()
		out.Serial, out.SHA256 = c.SerialNumber.Text(16), hex.EncodeToString(sum[:])
		out.Names = append(out.Names, c.DNSNames...)
		for _, ip := range c.IPAddresses {
			out.Names = append(out.Names, ip.String())
		}
		out.Names = out.Names[:min(len(out.Names), maxNames)]
	}
	text, err := json.Marshal(out)
	return string(text), err
}

func readCertificate(text string) (*certificate, error) {
	c := new(certificate)
	if err := json.Unmarshal([]byte(text), c); err != nil {
		return nil, fmt.Errorf("recorded certificate: %w", err)
	}
	return c, nil
}

// table is the certificate as a table.
func (c *certificate) table(L *lua.LState) *lua.LTable {
	t, names := L.NewTable(), L.NewTable()
	for _, name := range c.Names {
		names.Append(lua.LString(name))
	}
	for key, text := range map[string]string{
		"subject": c.Subject, "issuer": c.Issuer, "serial": c.Serial, "sha256": c.SHA256, "version": c.Version,
	} {
		t.RawSetString(key, lua.LString(text))
	}
	t.RawSetString("not_before", lua.LNumber(c.NotBefore))
	t.RawSetString("not_after", lua.LNumber(c.NotAfter))
	t.RawSetString("names", names)
	return t
}
