package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"net"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// newRequest is an Access-Request of a user, signed, with the address that it is sent from. The
// Message-Authenticator comes first: what an attacker could change ahead of it may be chosen so that the
// answer can be forged (CVE-2024-3596).
func newRequest(o options, from net.IP) ([]byte, error) {
	p := radius.New(radius.CodeAccessRequest, []byte(o.Secret))
	p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, md5.Size))
	if o.Login != "" {
		p.Add(rfc2865.UserName_Type, radius.Attribute(o.Login))
	}
	p.Add(rfc2865.UserPassword_Type, hidden(o.Passwd, o.Secret, p.Authenticator))
	if v4 := from.To4(); v4 != nil {
		p.Add(rfc2865.NASIPAddress_Type, radius.Attribute(v4))
	} else {
		p.Add(nasIPv6Address, radius.Attribute(from.To16()))
	}
	raw, err := p.Encode()
	if err != nil {
		return nil, err
	}
	copy(raw[headerSize+2:], signature(raw, o.Secret))
	return raw, nil
}

const (
	headerSize     = 20              // code, identifier, length, authenticator (RFC 2865, 3)
	nasIPv6Address = radius.Type(95) // RFC 3162, 2.1
)

// hidden is a password as User-Password has it (RFC 2865, 5.2). The library does the same, but not
// with an empty secret, which is the default in ldirectord(8).
func hidden(passwd, secret string, authenticator [16]byte) []byte {
	out := make([]byte, max((len(passwd)+md5.Size-1)/md5.Size, 1)*md5.Size)
	copy(out, passwd)
	last := authenticator[:]
	for block := out; len(block) > 0; block = block[md5.Size:] {
		sum := md5.Sum(append([]byte(secret), last...))
		for i := range sum {
			block[i] ^= sum[i]
		}
		last = block[:md5.Size]
	}
	return out
}

// signature is the Message-Authenticator of a packet in which there are zeros in its place (RFC 3579, 3.2).
func signature(raw []byte, secret string) []byte {
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write(raw)
	return mac.Sum(nil)
}

// Why an answer does not count: anybody may have sent it.
var (
	errOther    = errors.New("it has the number of another request")
	errForged   = errors.New("it was not made with our secret")
	errBadSign  = errors.New("its Message-Authenticator is wrong")
	errUnsigned = errors.New("it has no Message-Authenticator")
)

// verify says whether raw, which answer was read from, answers request and comes from somebody who
// knows the secret.
func verify(raw, request []byte, answer *radius.Packet, o options) error {
	raw = raw[:int(raw[2])<<8|int(raw[3])] // what follows is padding (RFC 2865, 3)
	if raw[1] != request[1] {
		return errOther
	}
	asked := bytes.Clone(raw) // as it was when the server computed its sums
	copy(asked[4:headerSize], request[4:headerSize])
	sum := md5.Sum(append(bytes.Clone(asked), o.Secret...))
	if !hmac.Equal(sum[:], raw[4:headerSize]) {
		return errForged
	}
	sign, signed := answer.Lookup(rfc2869.MessageAuthenticator_Type)
	if !signed {
		if o.Signed {
			return errUnsigned
		}
		return nil
	}
	if len(sign) != md5.Size {
		return errBadSign
	}
	clear(asked[signOffset(asked) : signOffset(asked)+md5.Size])
	if !hmac.Equal(signature(asked, o.Secret), sign) {
		return errBadSign
	}
	return nil
}

// signOffset is where the first Message-Authenticator's value begins, in a packet that has one.
func signOffset(raw []byte) int {
	at := headerSize
	for raw[at] != byte(rfc2869.MessageAuthenticator_Type) {
		at += int(raw[at+1])
	}
	return at + 2
}
